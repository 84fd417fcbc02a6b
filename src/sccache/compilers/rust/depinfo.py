from msgspec import Struct
class DepInfo(Struct):
    inputs: tuple
    env: tuple
def read(path):
    try: t=open(path).read()
    except OSError: return None
    ins=[];env=[]
    for l in t.splitlines():
        if l.startswith("# env-dep:"):
            n,_,v=l[10:].partition("="); env.append((n,v))
        elif ": " in l and not ins: ins=l.split(": ",1)[1].split(" ")
    return DepInfo(tuple(ins),tuple(env))
