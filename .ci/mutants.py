#!/usr/bin/env python3
"""All changes that cargo-mutants knows, in one binary: `.ci/mutants --at-once` makes the copy and calls this there.

Each function that cargo-mutants would change gets the changed bodies beside its own, and a number in the environment
says which one runs. So there is one build for all changes, and a change costs one run of the tests: half a second if
it is noticed. What does not compile is left out, as the compiler says. What stands outside of functions, or is an
`impl Trait`, is listed at the end, for cargo-mutants itself.

NUMBERS="7 8" tries these only, ONE_IN=25 every 25th, which is another part each day: of these the long tests are run only
for what nothing explains. PROCESSES is how many run side by side (2). Each outcome is a line in outcomes.jsonl.

Fails if a change lives that mutants.toml does not explain, or if fewer than 90 % are noticed of all of them.
"""

import collections
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor

# Long, and about the harness; they come in a second round, for what lived in the first.
LONG = ["explore::", "sim::", "bad_input", "bad_packets", "group_lan", "properties", "interference"]
LONGEST = ["explore::two", "planted", "f42", "hosts_that_are_each_better_in_one_router_collide"]
# Processor time of a round, in seconds: several times what all of its tests take. What is at work for longer does not end.
ROUNDS = [(LONG, 5), (LONGEST, 150)]
# Of all changes, in percent. A sample is too small for it.
LEAST_NOTICED = 90

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
    inside = {n for bodies in functions.values() for numbers in bodies.values() for n in numbers}
    wanted = {int(n) for n in os.environ.get("NUMBERS", "").split()} or inside
    one_in = int(os.environ.get("ONE_IN", "1"))
    today = int(time.time()) // 86400
    wanted = {n for n in wanted & inside if n % one_in == today % one_in}
    executable, broken = build(mutants, sources, functions, inside - wanted)
    todo = sorted(wanted - broken)
    print(f"{len(mutants)} changes, {len(wanted)} of them here: {len(broken)} do not compile")
    explains = explained("lives") if one_in == 1 else explained("lives", "long")
    noticed, lives = collections.Counter(), []
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
            # All of them get both rounds, so that a long test that notices a change is known of.
            todo = lived if one_in == 1 else [n for n in lived if not explains(mutants[n - 1])]
            lives += [n for n in lived if n not in todo]
            if not todo:
                break
    lives += todo
    unexplained = [n for n in lives if not explains(mutants[n - 1])]
    for n in sorted(lives):
        print(f"lived{'' if n in unexplained else ', as is explained'}: {n} {mutants[n - 1]['name']}")
    if one_in == 1:
        for n in sorted(outside):
            print(f"not tried, outside of functions: {mutants[n - 1]['name']}")
    tried = sum(noticed.values()) + len(lives)
    percent = 100 * sum(noticed.values()) / max(tried, 1)
    print(f"{sum(noticed.values())} of {tried} noticed, {percent:.1f} % ({dict(noticed)}); {len(lives)} lived")
    if unexplained:
        sys.exit(f"{len(unexplained)} changes live that nothing explains: a test is missing, or a line of .ci/mutants.toml")
    if wanted == inside and percent < LEAST_NOTICED:
        sys.exit(f"fewer than {LEAST_NOTICED} % are noticed")


def explained(*kinds):
    """Whether mutants.toml has a reason for what lives: it changes nothing, or only the long tests notice it."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mutants.toml"), "rb") as file:
        table = tomllib.load(file)
    names = [name for kind in kinds for entry in table[kind] for name in entry["changes"]]

    def explains(mutant):
        name = re.sub(r":\d+:\d+", "", mutant["name"], count=1)
        return any(name.startswith(of[:-1]) if of.endswith("*") else name == of for of in names)

    return explains


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


def write(mutants, sources, functions, without):
    """Writes the files, and returns for each the lines of each change."""
    lines = collections.defaultdict(list)
    for name, bodies in functions.items():
        text, written, done = sources[name], "", 0
        for (begin, end), numbers in sorted(bodies.items()):
            assert begin >= done, f"a function in a function of {name}"
            written += text[done:begin] + "match crate::which_mutant() {\n"
            for n in numbers:
                if n not in without:
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


def build(mutants, sources, functions, without):
    """Leaves out what does not compile, until the rest does: errors come in several rounds."""
    broken = set()
    while True:
        lines = write(mutants, sources, functions, without | broken)
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
    # The same cases each time: what is noticed today is noticed tomorrow.
    environment = {"PROPTEST_CASES": "8", "PROPTEST_RNG_SEED": "1", **os.environ, "MUTANT": str(number)}
    done = subprocess.run(command, cwd="carp-proto", env=environment, preexec_fn=limit, capture_output=True)
    return {0: "lived", 101: "fails"}.get(done.returncode, "does not end" if done.returncode < 0 else "dies")


if __name__ == "__main__":
    threading.stack_size(1 << 20)
    main()
