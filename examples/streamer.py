#!/usr/bin/env python3
"""Stands where the script streamer.py stood: hands its switches to the program llhls-streamer, building it if need be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
built = Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "release/examples/streamer"

program = os.environ.get("LLHLS_STREAMER") or (built if built.is_file() else shutil.which("llhls-streamer"))
if program is None:
    print("streamer.py: llhls-streamer is neither built nor installed: building it with cargo, once", file=sys.stderr)
    # Standard output is the program's.
    if subprocess.run(["make", "-C", root, "build"], stdout=sys.stderr, check=False).returncode != 0:
        sys.exit("streamer.py: that failed; ./setup.sh installs what building takes")
    program = built

os.execv(program, [program, *sys.argv[1:]])
