# SPDX-License-Identifier: GPL-2.0-or-later
"""What the test run and the campaigns share: corpora, and how a target is called.

A corpus is the file corpus/TARGET.zip, minimised (-merge=1); the inputs by hand of seeds.py stand
beside it and are made when they are needed.
"""
import hashlib
import os
import pathlib
import re
import subprocess
import zipfile

import seeds

HERE = pathlib.Path(__file__).resolve().parent
TARGETS = ["control", "lsi_regs", "lsi_scripts", "mem", "options", "scsi_cdb", "state", "vfu",
           "wire"]
MAX_LEN = 4096          # bytes of an input
FLOOR_MARGIN = 0.02     # of the edges: what a harmless change of the product may take away
# A single input that runs as long as this has lost its budget; it is no measure of speed.
TIMEOUT_S = 60
SETUP = [f"--native-file={HERE / 'clang.ini'}"]


def corpus_path(target):
    return HERE / "corpus" / (target + ".zip")


def load(target):
    """The inputs of a target's corpus, and those by hand."""
    inputs = set(seeds.seeds(target).values())
    if corpus_path(target).exists():
        with zipfile.ZipFile(corpus_path(target)) as archive:
            inputs |= {archive.read(name) for name in archive.namelist()}
    return inputs


def unpack(target, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for data in load(target):
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(target, folder):
    """Writes corpus/TARGET.zip from the files of @folder, the same bytes for the same inputs."""
    by_hand = set(seeds.seeds(target).values())
    inputs = {path.read_bytes() for path in folder.iterdir()} - by_hand
    corpus_path(target).parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(corpus_path(target), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for data in sorted(inputs):
            name = zipfile.ZipInfo(hashlib.sha1(data).hexdigest()[:12])
            name.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(name, data)
    return len(inputs)


def floors():
    """{target: edges} of coverage.txt"""
    text = (HERE / "coverage.txt").read_text(encoding="utf-8")
    return {name: int(edges) for name, edges in re.findall(r"^(\w+)\s+(\d+)$", text, re.M)}


def call(program, folders, *options):
    """Runs a target on corpus folders; returns (status, what it printed, CPU seconds)."""
    argv = [str(program), f"-max_len={MAX_LEN}", f"-timeout={TIMEOUT_S}", "-print_final_stats=1",
            *options, *map(str, folders)]
    env = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, env=env) as child:
        text = child.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, text, usage.ru_utime + usage.ru_stime


def edges(text):
    """The last count of covered edges in libFuzzer's output, or 0."""
    found = re.findall(r"\bcov: (\d+)", text)
    return int(found[-1]) if found else 0


def stat(text, name):
    found = re.search(rf"stat::{name}:\s+(\d+)", text)
    return int(found[1]) if found else 0


def diagnosis(text):
    """The report of a finding, without libFuzzer's lines about its progress."""
    lines = [line for line in text.split("\n") if not re.match(r"#\d+\s|\tNEW_FUNC|INFO: ", line)]
    return "\n".join(lines[:60])
