import json
def split(b):
    ls=b.splitlines(True); return [l for l in ls if l.startswith(b'{"$message_type":"artifact"')], b"".join(l for l in ls if not l.startswith(b'{"$message_type":"artifact"'))
def make(p):
    o=[]
    for out in reversed(p.outputs):
        k={"d":"dep-info","rmeta":"metadata"}.get(out.role,"link")
        o.append('{"$message_type":"artifact","artifact":"%s","emit":"%s"}\n'%(out.path,k))
    return "".join(o).encode()
