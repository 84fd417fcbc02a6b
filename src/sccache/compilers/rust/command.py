import os
from msgspec import Struct
from sccache.model import *
class RustArguments(Struct, frozen=True):
    crate_name: str
    source: str
    out_dir: str
    extra_filename: str = ""
    crate_types: tuple = ()
    emit: tuple = ()
    outputs: tuple = ()
    depinfo: str = ""
    links: bool = False
    externs: tuple = ()
    crate_dirs: tuple = ()
    native_dirs: tuple = ()
    native_libs: tuple = ()
    argument_files: tuple = ()
    named_files: tuple = ()
    linker: str = ""
    target: str = ""
    key_args: tuple = ()
    context_args: tuple = ()
    has_artifacts: bool = False
    human: bool = False
    colour: Colour = Colour.AUTO
    native_cpu: bool = False
    hides_paths: bool = False
class RustQuery(Struct, frozen=True):
    key_args: tuple
    reads_stdin: bool = False
    named_files: tuple = ()
    native_cpu: bool = False
VAL = {"--crate-name","--crate-type","--emit","--out-dir","-C","-L","-l","--extern","--cfg","--check-cfg","--cap-lints","--error-format","--json","--edition","--target","--diagnostic-width","--color","-A","-D","-W","-F","--allow","--warn","--deny","--remap-path-prefix","-Z"}
def parse(argv, cwd, env, *, cache_linked=True):
    argv=list(argv)
    if argv and argv[0] in ("-vV","-V","--version"): return RustQuery(tuple(argv))
    if any(a.startswith("--print") for a in argv): return RustQuery(tuple(argv), reads_stdin="-" in argv)
    d={}; key=[]; ctx=[]; src=None; i=0; test=False; art=False; hum=True
    while i<len(argv):
        a=argv[i]; i+=1
        if a in VAL: n,v=a,argv[i]; i+=1
        elif a.startswith("--") and "=" in a: n,v=a.split("=",1)
        elif a[:2] in ("-C","-L","-l","-A","-D","-W","-F","-Z") and len(a)>2: n,v=a[:2],a[2:]
        elif a=="--test": test=True; key.append(a); continue
        elif a.startswith("-") and a!="-": key.append(a); continue
        else:
            if src: return CannotCache("multiple input files")
            src=a; continue
        if n=="-C" and v.startswith("incremental"): return CannotCache("incremental")
        if n in ("--error-format","--json","--color","--diagnostic-width"):
            ctx.append(f"{n}={v}"); 
            if n=="--json": art="artifacts" in v
            if n=="--error-format" and v=="json": hum=False
            continue
        d.setdefault(n,[]).append(v); key.append(f"{n}={v}")
    if not src: return NotCompilation()
    if "--out-dir" not in d or "--crate-name" not in d or src=="-": return CannotCache("missing")
    name=d["--crate-name"][-1]; od=d["--out-dir"][-1]; ex="".join(v.split("=",1)[1] for v in d.get("-C",[]) if v.startswith("extra-filename="))
    emit=",".join(d.get("--emit",["link"])).split(",")
    types=[t for v in d.get("--crate-type",["bin"]) for t in v.split(",")]
    if test: types=["bin"]
    outs=[]; links=False
    for t in types:
        if "link" in emit:
            if t in("lib","rlib"): outs.append(Output("rlib",f"{od}/lib{name}{ex}.rlib"))
            elif t=="staticlib": outs.append(Output("staticlib",f"{od}/lib{name}{ex}.a"))
            elif t=="bin": outs.append(Output("bin",f"{od}/{name}{ex}")); links=True
            else: outs.append(Output(t,f"{od}/lib{name}{ex}.so")); links=True
    if "metadata" in emit: outs.append(Output("rmeta",f"{od}/lib{name}{ex}.rmeta"))
    dep=""
    if "dep-info" in emit: dep=f"{od}/{name}{ex}.d"; outs.append(Output("d",dep))
    Ls=[(v.split("=",1) if "=" in v else ["all",v]) for v in d.get("-L",[])]
    return RustArguments(name,src,od,ex,tuple(types),tuple(emit),tuple(outs),dep,links,tuple((v.split("=",1)[0],v.split("=",1)[1] if "=" in v else "") for v in d.get("--extern",[])),tuple(p for k,p in Ls if k in("dependency","crate","all")),tuple(p for k,p in Ls if k in("native","all")),tuple(d.get("-l",[])),(),(),"","",tuple(key),tuple(ctx),art,hum,Colour.AUTO,False,False)
