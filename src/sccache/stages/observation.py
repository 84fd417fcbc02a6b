import os

from msgspec import Struct

_PLACE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
class Seen(Struct, frozen=True):
    path: str
    stamp: tuple
    index: int
class Observation(Struct):
    complete: bool = False
    trouble: str = ""
    reads: tuple = ()
    looked: tuple = ()
    absent: tuple = ()
    listed: tuple = ()
    directories: tuple = ()
    others: tuple = ()
    written: tuple = ()
    executed: tuple = ()
    network: tuple = ()
    unknown: tuple = ()
    images: tuple = ()
    unfinished: tuple = ()
    tool_variables: tuple = ()
    macro_variables: tuple = ()
    whole_environment: tuple = ()
    clocks: tuple = ()
    links: tuple = ()
    first_written: dict = {}
class Observer(Struct):
    program: str
    shim: str
def observer():
    """The observer that was built beside this package; None where there is none."""
    program = os.path.join(_PLACE, "sccache-observe")
    shim = os.path.join(_PLACE, "libsccache-observe.so")
    if not os.access(program, os.X_OK):
        return None
    return Observer(program, shim if os.path.exists(shim) else "")

def read_report(p):
    try: data=open(p,"rb").read()
    except OSError as e: return Observation(trouble=str(e))
    g={}; fw={}; images={}; ended=set(); reads=[]; looked=[]
    recs=data.split(b"\0")
    import os
    for n,r in enumerate(recs):
        if not r: continue
        k=chr(r[0]); v=os.fsdecode(r[1:])
        if k in "rs":
            f=v.split(" ",5); (reads if k=="r" else looked).append(Seen(f[5],tuple(map(int,f[:5])),n)); continue
        if k=="i":
            a,_,b=v.partition(" "); images[a]=b; ended.discard(a); continue
        if k=="q": ended.add(v); continue
        if k=="w": fw.setdefault(v,n)
        g.setdefault(k,[]).append(v)
    t=lambda k: tuple(dict.fromkeys(g.get(k,())))
    return Observation("." in g, g.get("!",[""])[0], tuple(reads), tuple(looked), t("a"),t("d"),t("D"),t("o"),t("w"),t("x"),t("n"),t("u"),tuple(dict.fromkeys(images.values())),tuple(p for i,p in images.items() if i not in ended),t("t"),t("e"),t("E"),t("c"),t("l"),fw)
