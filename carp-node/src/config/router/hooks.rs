//! `[router.NAME.on]`.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::{DAY, MILLISECOND};
use crate::config::known;
use crate::config::read::{Reader, Section};
use crate::hooks::HookSpec;

pub(super) fn hooks(section: &Section<'_>, name: &str) -> HookSpec {
    let hooks = HookSpec::default();
    let title = format!("[router.{name}.on]");
    let Some(on) = section.section("on", &title, &title, &known::ON) else { return hooks };
    HookSpec {
        active: argv(&on, "active"),
        backup: argv(&on, "backup"),
        init: argv(&on, "init"),
        before_active: argv(&on, "before_active"),
        timeout: timeout(&on).unwrap_or(hooks.timeout),
        account: None,
    }
}

fn timeout(on: &Section<'_>) -> Option<Duration> {
    const LIMITS: RangeInclusive<Duration> = MILLISECOND..=DAY;
    on.duration("timeout", LIMITS)
}

pub(in crate::config) fn argv(on: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let reader = on.reader();
    let example = format!("{key} = [\"/usr/local/bin/notify\", \"web\"]");
    let list = on.texts(key, &example)?;
    let nul = list.get_ref().iter().find(|argument| argument.get_ref().contains('\0'));
    if let Some(nul) = nul {
        reader.mistake(nul.span(), "an argument cannot contain a NUL character", "remove it");
        return None;
    }
    match list.get_ref().first() {
        None => {
            let message = format!("{key} names no program");
            let help = format!("write it like {example}, or leave {key} out");
            reader.mistake(list.span(), message, help);
        }
        Some(program) if !program.get_ref().starts_with('/') => {
            let message = format!("{:?} is not an absolute path", program.get_ref());
            let help = "there is no shell and no search path: begin the program with /";
            reader.mistake(program.span(), message, help);
        }
        Some(program) => check_program(reader, program),
    }
    Some(list.into_inner().into_iter().map(|argument| argument.into_inner().to_owned()).collect())
}

fn check_program(reader: &Reader<'_>, program: &Spanned<&str>) {
    if let Err(error) = reader.host().program(Path::new(program.get_ref())) {
        let message = format!("program {:?} {error}", program.get_ref());
        reader.warning(
            program.span(),
            message,
            "install it and make it executable before it is needed",
        );
    }
}
