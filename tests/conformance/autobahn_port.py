"""Makes the Autobahn test suite, written for Python 2, run under Python 3. Changes how it runs, never what it expects.

The suite's payloads are Python 2 strings, that is bytes. They stay `str` here, one character per byte (latin-1), and
are turned into bytes and back where they meet the wire, in the fuzzing protocol. That leaves every case as it is
written. Syntax, names and relative imports are converted by `fissix` (lib2to3, which newer Pythons lack).
"""

import subprocess
import sys
from pathlib import Path

WANTED = ("_version.py", "caseset.py", "fuzzing.py", "case", "testdata")
"""What `fuzzingclient` needs of the suite; the rest (WAMP, wsperf, command line) is left out."""

SHIM = '''"""`binascii` for text that stands for bytes, and the passage between the two."""

import binascii


def wire(payload):
    return payload.encode("latin-1") if isinstance(payload, str) else payload


def text(payload):
    return payload.decode("latin-1") if isinstance(payload, (bytes, bytearray)) else payload


def b2a_hex(payload):
    return binascii.b2a_hex(payload.encode("latin-1", "replace") if isinstance(payload, str) else payload).decode()


hexlify = b2a_hex
'''

TRANSLATION = '''
   def sendFrame(self, opcode, payload = b"", payload_len = None, **rest):
      payload = _bytes.wire(payload)
      if payload_len is not None and payload:
         payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
      super().sendFrame(opcode = opcode, payload = payload, **rest)

   def sendMessage(self, payload, isBinary = False, **rest):
      super().sendMessage(_bytes.wire(payload), isBinary, **rest)

   def sendMessageFrameData(self, payload, **rest):
      super().sendMessageFrameData(_bytes.wire(payload), **rest)

   def sendPing(self, payload = None):
      super().sendPing(_bytes.wire(payload))

   def sendPong(self, payload = None):
      super().sendPong(_bytes.wire(payload))

   def sendCloseFrame(self, code = None, reasonUtf8 = None, isReply = False):
      super().sendCloseFrame(code, _bytes.wire(reasonUtf8), isReply)
'''

SUBSTITUTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "fuzzing.py": (
        ("from twisted.internet import reactor, ssl", "from twisted.internet import reactor"),
        ("import os, json, binascii, time, textwrap, pkg_resources", "import os, json, time, textwrap\n"
         "from autobahntestsuite import _bytes\nfrom autobahntestsuite import _bytes as binascii"),
        ("   MAX_WIRE_LOG_DATA = 256\n", "   MAX_WIRE_LOG_DATA = 256\n" + TRANSLATION),
        ("      return dd.decode('utf8',", "      return _bytes.wire(dd).decode('utf8',"),
        ("if len(data) > maxlen - len(ellipses):\n         dd = data[",
         "data = _bytes.text(data)\n      if len(data) > maxlen - len(ellipses):\n         dd = data["),
        ("p = ''.join(payload)", "p = b''.join(payload)"),
        ("self.runCase.onPong(payload)", "self.runCase.onPong(_bytes.text(payload))"),
        ("self.runCase.onMessage(msg, binary)", "self.runCase.onMessage(_bytes.text(msg), binary)"),
        ("separators = (',', ': ')", "separators = (',', ': '), default = _bytes.text"),
        ("def createReports(self, produceHtml = True", "def createReports(self, produceHtml = False"),
        ("self.contextFactory = ssl.optionsForClientTLS(hostname)", "raise Exception('ws:// only')"),
        ("self.contextFactory = ssl.ClientContextFactory()", "self.contextFactory = None"),
    ),
    "case/__init__.py": (("from .case9_9_1 import *\n", ""),),  # the suite does not run it either
    # Python 2's pickles of equal values were equal; Python 3's are not always.
    "case/case.py": (("pickle.dumps(obj1) == pickle.dumps(obj2)", "obj1 == obj2"),),
    "case/case10_1_1.py": (("len(self.payload) / self", "len(self.payload) // self"),),
    "case/case6_x_x.py": (("v.validate(vss[:i])", "v.validate(vss[:i].encode('latin-1'))"),),
    "case/case12_x_x.py": (
        ("def onMessage(self, msg, binary):\n", "def onMessage(self, msg, binary):\n   msg = msg.encode('latin-1')\n"),
    ),
}  # fmt: skip


class SuiteChanged(Exception):
    """The suite is not the one these substitutions were written for."""


def convert(source: Path, target: Path) -> None:
    """Copy what is wanted of the package at `source` to `target`, as Python 3. Raises `SuiteChanged`."""
    target.mkdir(parents=True)
    for name in WANTED:
        for file in sorted((source / name).glob("*")) if (source / name).is_dir() else [source / name]:
            copy = target / file.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    (target / "__init__.py").write_text("from autobahntestsuite._version import __version__ as version\n")
    # Style sheets of the HTML report; the one in JSON is what is read.
    styles = ("CSS_COMMON", "CSS_DETAIL_REPORT", "CSS_MASTER_REPORT", "JS_MASTER_REPORT")
    (target / "report.py").write_text("".join(f"{name} = ''\n" for name in styles))
    converter = (sys.executable, "-W", "ignore", "-m", "fissix", "--no-diffs", "--nobackups", "--write", str(target))
    subprocess.run(converter, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for file in target.rglob("*.py"):
        _patch(file, SUBSTITUTIONS.get(str(file.relative_to(target)), ()))
    (target / "_bytes.py").write_text(SHIM)



def _patch(file: Path, substitutions: tuple[tuple[str, str], ...]) -> None:
    code = file.read_text(encoding="latin-1")  # one character per byte, in literals too
    for old, new in substitutions:
        if code.count(old) < 1:
            raise SuiteChanged(f"{file.name}: not found: {old}")
        code = code.replace(old, new)
    code = code.replace("(object, Case, )", "(Case, )")
    if file.name != "fuzzing.py":
        code = code.replace("import binascii\n", "from autobahntestsuite import _bytes as binascii\n")
    if file.name == "case12_x_x.py":
        code = code.replace(", hashlib, binascii\n", ", hashlib\nfrom autobahntestsuite import _bytes as binascii\n")
    file.write_text(code, encoding="utf-8")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
