//! The hooks of routers.

use std::fs;
use std::sync::{Arc, Mutex, mpsc};

use carp_node::hooks::{HookOn, HookReport, HookSpec, WAITING};

use crate::support::{LONG, SHORT, argv, event, once, router, with_hooks};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "hooks_of_a_router_run_in_order_and_never_overlap",
        hooks_of_a_router_run_in_order_and_never_overlap,
    ),
    ("hooks_know_what_happened", hooks_know_what_happened),
    ("too_many_events_drop_the_oldest", too_many_events_drop_the_oldest),
    (
        "before_active_jumps_the_queue_and_waits_for_what_runs",
        before_active_jumps_the_queue_and_waits_for_what_runs,
    ),
    ("before_active_answers_for_the_election", before_active_answers_for_the_election),
    ("hooks_of_two_routers_run_side_by_side", hooks_of_two_routers_run_side_by_side),
    ("a_hook_report_tells_the_last_run", a_hook_report_tells_the_last_run),
];

fn hooks_of_a_router_run_in_order_and_never_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let (lock, log) = (directory.path().join("lock"), directory.path().join("log"));
    // mkdir fails if another one is inside.
    let script = format!(
        "mkdir {lock} || echo overlap >> {log}; sleep 0.0$((CARP_SEQ % 3)); \
         echo $CARP_SEQ >> {log}; rmdir {lock}",
        lock = lock.display(),
        log = log.display()
    );
    let spec = HookSpec { active: argv(&script), backup: argv(&script), ..HookSpec::default() };
    with_hooks(
        [router("web", spec)],
        |_, _| {},
        async |hooks| {
            for seq in 1..=20 {
                let on = if seq % 2 == 0 { HookOn::Active } else { HookOn::Backup };
                hooks.dispatch(event("web", on, seq));
            }
            assert!(hooks.idle(LONG).await);
        },
    );
    let expected: String = (1..=20).map(|seq| format!("{seq}\n")).collect();
    assert_eq!(fs::read_to_string(log).unwrap(), expected);
}

fn hooks_know_what_happened() {
    let spec = HookSpec { active: argv("env | grep ^CARP_ | sort"), ..HookSpec::default() };
    with_hooks(
        [router("web", spec)],
        |_, _| {},
        async |hooks| {
            hooks.dispatch(event("web", HookOn::Active, 7));
            assert!(hooks.idle(LONG).await);
            let reports = hooks.reports("web");
            let [report] = reports.as_slice() else { panic!("{reports:?}") };
            assert_eq!(
                report.output.as_deref(),
                Some(
                    "CARP_ADDRESSES=192.168.130.100 2001:db8::100/64\nCARP_CAUSE=active-down\n\
                 CARP_INTERFACE=eth0\nCARP_PREVIOUS=backup\nCARP_ROUTER=web\nCARP_SEQ=7\n\
                 CARP_STATE=active\n"
                )
            );
        },
    );
}

fn too_many_events_drop_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let (gate, log) = (directory.path().join("gate"), directory.path().join("log"));
    let script = format!(
        "echo $CARP_SEQ >> {log}; until [ -e {gate} ]; do sleep 0.02; done",
        log = log.display(),
        gate = gate.display()
    );
    let spec = HookSpec { active: argv(&script), timeout: LONG, ..HookSpec::default() };
    let waiting = u64::try_from(WAITING).unwrap();
    with_hooks(
        [router("web", spec)],
        |_, _| {},
        async |hooks| {
            hooks.dispatch(event("web", HookOn::Active, 1));
            once(async || log.exists()).await;
            for seq in 2..=waiting + 4 {
                hooks.dispatch(event("web", HookOn::Active, seq));
            }
            once(async || hooks.reports("web")[0].dropped == 3).await;
            fs::write(&gate, "").unwrap();
            assert!(hooks.idle(LONG).await);
        },
    );
    let ran: Vec<u64> =
        fs::read_to_string(log).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    let expected: Vec<u64> = [1].into_iter().chain(5..=waiting + 4).collect();
    assert_eq!(ran, expected);
}

fn before_active_jumps_the_queue_and_waits_for_what_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (gate, log) = (directory.path().join("gate"), directory.path().join("log"));
    let begin = format!("echo $0 >> {}", log.display());
    let slow = format!("{begin}; until [ -e {} ]; do sleep 0.02; done", gate.display());
    let named = |script: &str, name: &str| {
        Some(vec!["/bin/sh".into(), "-c".into(), script.to_owned(), name.to_owned()])
    };
    let spec = HookSpec {
        backup: named(&slow, "backup"),
        active: named(&begin, "active"),
        before_active: named(&begin, "before"),
        timeout: LONG,
        ..HookSpec::default()
    };
    let (answers, answered) = mpsc::channel();
    with_hooks(
        [router("web", spec)],
        |_, _| {},
        async |hooks| {
            hooks.dispatch(event("web", HookOn::Backup, 1));
            once(async || log.exists()).await;
            hooks.dispatch(event("web", HookOn::Active, 2));
            for (seq, number) in [(3, "older"), (4, "newer")] {
                let answers = answers.clone();
                hooks.prepare(event("web", HookOn::BeforeActive, seq), move |ok| {
                    answers.send((number, ok)).unwrap();
                });
            }
            // The older one gives way at once, while on.backup still runs.
            once(async || hooks.reports("web").iter().any(|hook| hook.dropped == 1)).await;
            assert_eq!(fs::read_to_string(&log).unwrap(), "backup\n");
            fs::write(&gate, "").unwrap();
            assert!(hooks.idle(LONG).await);
        },
    );
    assert_eq!(answered.try_iter().collect::<Vec<_>>(), [("older", false), ("newer", true)]);
    assert_eq!(fs::read_to_string(log).unwrap(), "backup\nbefore\nactive\n");
}

fn before_active_answers_for_the_election() {
    let refusing = HookSpec { before_active: argv("exit 1"), ..HookSpec::default() };
    let missing =
        HookSpec { before_active: Some(vec!["/nonexistent".into()]), ..HookSpec::default() };
    let hanging =
        HookSpec { before_active: argv("exec sleep 300"), timeout: SHORT, ..HookSpec::default() };
    let routers = [
        router("refusing", refusing),
        router("missing", missing),
        router("hanging", hanging),
        router("none", HookSpec::default()),
    ];
    with_hooks(
        routers,
        |_, _| {},
        async |hooks| {
            for (name, expected) in
                [("refusing", false), ("missing", false), ("hanging", false), ("none", true)]
            {
                let (answer, answered) = tokio::sync::oneshot::channel();
                hooks.prepare(event(name, HookOn::BeforeActive, 1), |ok| answer.send(ok).unwrap());
                assert_eq!(answered.await, Ok(expected), "{name}");
                assert_eq!(hooks.has_before_active(name), name != "none");
            }
        },
    );
}

fn hooks_of_two_routers_run_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let meet = |own: &str, other: &str| {
        let (own, other) = (directory.path().join(own), directory.path().join(other));
        let wait = format!("until [ -e {} ]; do sleep 0.02; done", other.display());
        let active = argv(&format!("touch {}; {wait}", own.display()));
        HookSpec { active, timeout: LONG, ..HookSpec::default() }
    };
    let routers = [router("web", meet("one", "two")), router("dns", meet("two", "one"))];
    with_hooks(
        routers,
        |_, _| {},
        async |hooks| {
            for name in ["web", "dns"] {
                hooks.dispatch(event(name, HookOn::Active, 1));
            }
            assert!(hooks.idle(LONG).await);
            for name in ["web", "dns"] {
                assert_eq!(hooks.reports(name)[0].ok, Some(true), "{name}");
            }
        },
    );
}

fn a_hook_report_tells_the_last_run() {
    let spec = HookSpec {
        active: argv("echo cold; exit 3"),
        init: Some(vec!["/nonexistent".into()]),
        ..HookSpec::default()
    };
    let results = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&results);
    let note = move |router: &str, report: &HookReport| {
        noted.lock().unwrap().push((router.to_owned(), report.event().unwrap().to_string()));
    };
    with_hooks([router("web", spec)], note, async |hooks| {
        assert!(hooks.reports("web").iter().all(|report| report.ok.is_none()));
        hooks.dispatch(event("web", HookOn::Active, 1));
        hooks.dispatch(event("web", HookOn::Backup, 2));
        hooks.dispatch(event("nosuch", HookOn::Active, 2));
        hooks.dispatch(event("web", HookOn::Init, 3));
        assert!(hooks.idle(LONG).await);
        let reports = hooks.reports("web");
        let [active, init] = reports.as_slice() else { panic!("{reports:?}") };
        assert_eq!(
            (active.on, active.ok, active.exit_code),
            (HookOn::Active, Some(false), Some(3))
        );
        assert_eq!(active.output.as_deref(), Some("cold\n"));
        assert!(active.finished.is_some() && active.duration_ms.is_some() && !active.running);
        assert_eq!((init.on, init.ok, init.exit_code), (HookOn::Init, Some(false), None));
        let json = serde_json::to_value(init).unwrap();
        assert_eq!((&json["on"], &json["program"]), (&"init".into(), &"/nonexistent".into()));
    });
    let results = results.lock().unwrap();
    let [(router, active), (_, init)] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(router, "web");
    assert!(active.starts_with("on.active: /bin/sh: exit 3 after "), "{active}");
    assert!(init.starts_with("on.init: /nonexistent: could not start: "), "{init}");
}
