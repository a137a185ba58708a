"""Certificates for one run: one trust root, a server and a client certificate, all ECDSA P-256."""

import os
import subprocess

TRUST_DOMAIN = "bench.local"
BACKEND_IDENTITY = f"spiffe://{TRUST_DOMAIN}/agent/backend"

LEAF = """
basicConstraints=critical,CA:false
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectAltName={names}
"""

ROOT = """
[req]
distinguished_name=name
x509_extensions=root
[name]
[root]
basicConstraints=critical,CA:true
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""


class Certificates:
    """Paths of PEM files below a folder; every gateway is given the same ones."""

    def __init__(self, folder):
        self.folder = folder
        self.root = self._path("root.pem")
        self._make_root()
        # The gateway's own certificate is the one clients see; the address lets clients use it
        # without a name to resolve.
        self._issue("gateway", "DNS:localhost,IP:127.0.0.1")
        self._issue("backend", f"DNS:localhost,IP:127.0.0.1,URI:{BACKEND_IDENTITY}")
        self._issue("identity", f"URI:spiffe://{TRUST_DOMAIN}/gateway/bench")

    def chain(self, name):
        return self._path(f"{name}.pem")

    def key(self, name):
        return self._path(f"{name}.key")

    def combined(self, name):
        """Certificate and key in one file, as HAProxy wants them."""
        path = self._path(f"{name}-combined.pem")
        with open(path, "w", opener=_private) as out:
            for part in (self.chain(name), self.key(name)):
                with open(part) as source:
                    out.write(source.read())
        return path

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _make_root(self):
        configuration = self._path("root.cnf")
        with open(configuration, "w") as out:
            out.write(ROOT)
        self._make_key("root")
        _openssl("req", "-x509", "-new", "-key", self.key("root"), "-sha256", "-days", "2",
                 "-subj", "/CN=bench root", "-config", configuration, "-out", self.root)

    def _issue(self, name, alternative_names):
        self._make_key(name)
        request, extensions = self._path(f"{name}.csr"), self._path(f"{name}.ext")
        with open(extensions, "w") as out:
            out.write(LEAF.format(names=alternative_names))
        _openssl("req", "-new", "-key", self.key(name), "-subj", f"/CN={name}", "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.root, "-CAkey", self.key("root"),
                 "-CAcreateserial", "-sha256", "-days", "2", "-extfile", extensions,
                 "-out", self.chain(name))

    def _make_key(self, name):
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-out", self.key(name))
        os.chmod(self.key(name), 0o600)


def _private(path, flags):
    return os.open(path, flags, 0o600)


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, timeout=30,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
