#!/usr/bin/env python3
"""All changes that cargo-mutants knows, in one binary: `.ci/mutants --at-once` makes the copy and calls this there.

Each function that cargo-mutants would change gets the changed bodies beside its own, and a number in the environment
says which one runs. So there is one build for all changes, and a change costs one run of the tests: half a second if
it is noticed. What does not compile is left out, as the compiler says. What stands outside of functions, or is an
`impl Trait`, is listed at the end, for cargo-mutants itself.

NUMBERS="7 8" tries these only; PROCESSES is how many run side by side (2). Each outcome is a line in outcomes.jsonl.
"""

import collections
import json
import os
import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

# Long, and about the harness; they come in a second round, for what lived in the first.
LONG = ["explore::", "sim::", "bad_input", "bad_packets", "group_lan", "properties", "interference"]
LONGEST = ["explore::two", "planted", "f42", "hosts_that_are_each_better_in_one_router_collide"]
# Processor time of a round, in seconds: several times what all of its tests take. What is at work for longer does not end.
ROUNDS = [(LONG, 5), (LONGEST, 150)]

SWITCH = """
static MUTANT: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
pub(crate) const fn which_mutant() -> usize {
    const fn at_compile_time() -> usize { 0 }
    fn at_run_time() -> usize { MUTANT.load(core::sync::atomic::Ordering::Relaxed) }
    core::intrinsics::const_eval_select((), at_compile_time, at_run_time)
}
"""
ENTRY = 'extern "C" fn end_at_the_first_panic() {'
SET = 'if let Ok(n) = std::env::var("MUTANT") { crate::MUTANT.store(n.parse().unwrap(), core::sync::atomic::Ordering::Relaxed); }'


def main():
    mutants = json.load(open("mutants.json"))
    sources = {name: open(name).read() for name in {mutant["file"] for mutant in mutants}}
    lib = open("carp-proto/src/lib.rs").read().split("\n", 1)
    with open("carp-proto/src/lib.rs", "w") as file:
        file.write(lib[0] + "\n#![feature(core_intrinsics, const_eval_select)]\n" + lib[1] + SWITCH)
    start = open("carp-proto/src/all.rs").read()
    with open("carp-proto/src/all.rs", "w") as file:
        file.write(start.replace(ENTRY, ENTRY + SET))

    functions, outside = by_function(mutants, sources)
    executable, broken = build(mutants, sources, functions)
    inside = {n for bodies in functions.values() for numbers in bodies.values() for n in numbers}
    wanted = {int(n) for n in os.environ.get("NUMBERS", "").split()} or inside
    todo = sorted((inside - broken) & wanted)
    print(f"{len(mutants)} changes: {len(broken)} do not compile, {len(outside)} stand outside of functions")
    noticed = collections.Counter()
    with open("outcomes.jsonl", "w") as outcomes:
        for skipped, seconds in ROUNDS:
            if run(executable, 0, skipped, seconds) != "lived":
                sys.exit("the tests fail without any change")
            lived, outcome_of = [], lambda n: (n, run(executable, n, skipped, seconds))
            with ThreadPoolExecutor(int(os.environ.get("PROCESSES", "2"))) as pool:
                for n, outcome in pool.map(outcome_of, todo):
                    noticed[outcome] += outcome != "lived"
                    lived += [n] if outcome == "lived" else []
                    line = {"number": n, "outcome": outcome, "name": mutants[n - 1]["name"]}
                    print(json.dumps(line), file=outcomes, flush=True)
            todo = lived
    for n in todo:
        print(f"lived: {n} {mutants[n - 1]['name']}")
    for n in sorted(outside):
        print(f"not tried: {mutants[n - 1]['name']}")
    print(f"{sum(noticed.values())} noticed ({dict(noticed)}), {len(todo)} lived")


def offset(text, place):
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: place["line"] - 1]) + place["column"] - 1


def by_function(mutants, sources):
    """The numbers of the changes by file and by where the body of their function begins and ends."""
    functions, outside = collections.defaultdict(lambda: collections.defaultdict(list)), set()
    for n, mutant in enumerate(mutants, 1):
        text, function = sources[mutant["file"]], mutant["function"]
        if not function or "impl " in (function["return_type"] or ""):
            outside.add(n)
            continue
        begin, end = (offset(text, function["span"][side]) for side in ("start", "end"))
        body = (opening_brace(text, begin) + 1, end - 1)
        first, last = (offset(text, mutant["span"][side]) for side in ("start", "end"))
        if body[0] <= first <= last <= body[1]:
            functions[mutant["file"]][body].append(n)
        else:
            outside.add(n)
    return functions, outside


def opening_brace(text, begin):
    at, depth = text.index("fn ", begin), 0
    while text[at] != "{" or depth:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[at], 0)
        at += 1
    return at


def write(mutants, sources, functions, broken):
    """Writes the files, and returns for each the lines of each change."""
    lines = collections.defaultdict(list)
    for name, bodies in functions.items():
        text, written, done = sources[name], "", 0
        for (begin, end), numbers in sorted(bodies.items()):
            assert begin >= done, f"a function in a function of {name}"
            written += text[done:begin] + "match crate::which_mutant() {\n"
            for n in numbers:
                if n not in broken:
                    first, last = (offset(text, mutants[n - 1]["span"][side]) for side in ("start", "end"))
                    line = written.count("\n") + 1
                    changed = text[begin:first] + mutants[n - 1]["replacement"] + text[last:end]
                    written += f"{n} => {{{changed}}}\n"
                    lines[name].append((line, written.count("\n"), n))
            written += f"_ => {{{text[begin:end]}}}\n}}"
            done = end
        with open(name, "w") as file:
            file.write(written + text[done:])
    return lines


def build(mutants, sources, functions):
    """Leaves out what does not compile, until the rest does: errors come in several rounds."""
    broken = set()
    while True:
        lines = write(mutants, sources, functions, broken)
        command = ["cargo", "test", "--lib", "--no-run", "--message-format=json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "RUSTC_BOOTSTRAP": "1"})
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode == 0:
            return next(message["executable"] for message in messages if message.get("executable")), broken
        errors = [message["message"] for message in messages if message.get("reason") == "compiler-message"]
        spans = [span for error in errors if error["level"] == "error" for span in error["spans"] if span["is_primary"]]
        found = set()
        for span in spans:
            while span["file_name"] not in lines and span.get("expansion"):
                span = span["expansion"]["span"]
            found |= {n for first, last, n in lines[span["file_name"]] if first <= span["line_start"] <= last}
        if not found - broken:
            sys.exit("it does not compile, and no change is the reason:\n" + "\n".join(error["rendered"] for error in errors))
        broken |= found


def run(executable, number, skipped, seconds):
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))

    command = [executable, "--test-threads", "1", *(word for name in skipped for word in ("--skip", name))]
    environment = {"PROPTEST_CASES": "8", **os.environ, "MUTANT": str(number)}
    done = subprocess.run(command, cwd="carp-proto", env=environment, preexec_fn=limit, capture_output=True)
    return {0: "lived", 101: "fails"}.get(done.returncode, "does not end" if done.returncode < 0 else "dies")


if __name__ == "__main__":
    threading.stack_size(1 << 20)
    main()
