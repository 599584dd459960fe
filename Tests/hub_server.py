# A hub of one model for the tests of `midtrain pull`: prints its port, then serves until its input ends.
# The first answer to a request for model.safetensors breaks off in the middle; the token is wanted for a private model.
import hashlib
import http.server
import json
import re
import sys
import threading

FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": bytes(range(256)) * 4000,
    "weird name.bin": b"not wanted",
    "pytorch_model.bin": b"not wanted either",
}
SHA = "0123456789abcdef0123456789abcdef01234567"
log, broken = [], set()


def entry(name, data):
    result = {"rfilename": name, "size": len(data),
              "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
    if name.endswith(".safetensors"):
        result["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return result


class Hub(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, data, status=200, start=0):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        return data[start:]

    def do_GET(self):
        log.append(f"{self.path} {self.headers.get('Range', '')}")
        owner = self.path.split("/")[3 if self.path.startswith("/api/") else 1]
        if owner == "private" and self.headers.get("Authorization") != "Bearer hf_secret":
            self.wfile.write(self.answer(b"", 401))
            return
        if self.path == "/log":
            self.wfile.write(self.answer("\n".join(log).encode()))
            return
        if self.path.startswith(("/api/models/some/model/", "/api/models/private/model/")):
            siblings = [entry(name, data) for name, data in FILES.items()]
            siblings.append({"rfilename": "../../escaped.json", "size": 2, "blobId": "0"})
            siblings.append({"rfilename": "/tmp/escaped.json", "size": 2, "blobId": "0"})
            self.wfile.write(self.answer(json.dumps({"sha": SHA, "siblings": siblings}).encode()))
            return
        if self.path.startswith("/api/models/lying/model/"):
            lie = entry("model.safetensors", FILES["model.safetensors"]) | {"lfs": {"sha256": "0" * 64}}
            self.wfile.write(self.answer(json.dumps({"sha": SHA, "siblings": [lie]}).encode()))
            return
        match = re.fullmatch(rf"/(some|private|lying)/model/resolve/{SHA}/(.+)", self.path)
        data = match and FILES.get(match[2])
        if not data:
            self.wfile.write(self.answer(b"", 404))
            return
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        rest = self.answer(data, 206, int(start[1])) if start else self.answer(data)
        if match[2] == "model.safetensors" and match[1] == "some" and "some" not in broken:
            broken.add("some")
            self.wfile.write(rest[:len(rest) // 2])
            self.close_connection = True
            return
        self.wfile.write(rest)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
