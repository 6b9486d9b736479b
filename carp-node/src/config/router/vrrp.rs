//! The keys that VRRP alone has.

use std::time::Duration;

use carp_proto::auth::{HmacKey, HmacMode, Password};
use carp_proto::wire::vrrp::ChecksumForm;
use carp_proto::{Centiseconds, ChecksumMode, Family, IntervalError, Priority, Protocol, Seconds};

use super::addresses::Addresses;
use super::secret;
use crate::config::duration::parse_duration;
use crate::config::key::KeyKind;
use crate::config::known;
use crate::config::read::Section;
use crate::config::spec::{FromFile, HmacSpec, Vrrp2Spec, Vrrp3Spec};

const RECEIVE_KEYS: &str = "receive_keys = [{ id = 2, key_file = \"/etc/carp/new.key\" }]";

pub(super) fn read_2(section: &Section<'_>) -> Option<Vrrp2Spec> {
    let priority = priority(section);
    let interval = interval(section, Seconds::DEFAULT);
    let password = match auth(section, Protocol::Vrrp2) {
        Auth::Password => secret::read(section, KeyKind::Password, Password::new).map(Some),
        Auth::None | Auth::Hmac => Some(None),
    };
    Some(Vrrp2Spec { priority: priority?, interval: interval?, password: password? })
}

pub(super) fn read_3(section: &Section<'_>) -> Option<Vrrp3Spec> {
    let priority = priority(section);
    let interval = interval(section, Centiseconds::DEFAULT);
    let checksum = checksum(section);
    let hmac = match auth(section, Protocol::Vrrp3) {
        Auth::Hmac => hmac(section).map(Some),
        Auth::None | Auth::Password => Some(None),
    };
    Some(Vrrp3Spec { priority: priority?, interval: interval?, checksum, hmac: hmac? })
}

fn priority(section: &Section<'_>) -> Option<Priority> {
    if section.value("priority").is_none() {
        return Some(Priority::DEFAULT);
    }
    let number = section.integer("priority")?;
    match Priority::try_from(*number.get_ref()) {
        Ok(priority) => Some(priority),
        Err(error) => {
            section.reader().error(number.span(), error.to_string());
            None
        }
    }
}

fn interval<T>(section: &Section<'_>, default: T) -> Option<T>
where
    T: TryFrom<Duration, Error = IntervalError>,
{
    if section.value("interval").is_none() {
        return Some(default);
    }
    let text = section.text("interval", "interval = \"1s\"")?;
    let interval = parse_duration(text.get_ref())
        .map_err(|error| format!("{:?}: {error}", text.get_ref()))
        .and_then(|duration| T::try_from(duration).map_err(|error| error.to_string()));
    interval.map_err(|message| section.reader().error(text.span(), message)).ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Auth {
    None,
    Password,
    Hmac,
}

impl Auth {
    const ALL: [(&'static str, Self); 3] =
        [("none", Self::None), ("password", Self::Password), ("hmac", Self::Hmac)];
}

/// How adverts are authenticated. Keys that this makes no use of are errors.
fn auth(section: &Section<'_>, protocol: Protocol) -> Auth {
    let version_3 = protocol == Protocol::Vrrp3;
    let auth = section.word("auth", &Auth::ALL).unwrap_or(Auth::None);
    let reader = section.reader();
    let other = match auth {
        Auth::None => {
            check_unused(section, if version_3 { "hmac" } else { "password" });
            false
        }
        Auth::Password => version_3,
        Auth::Hmac => !version_3,
    };
    if let (true, Some(value)) = (other, section.value("auth")) {
        let (message, help) = if version_3 {
            ("auth \"password\" is for vrrp2", "vrrp3 has \"none\" and \"hmac\"")
        } else {
            ("auth \"hmac\" is for vrrp3", "vrrp2 has \"none\" and \"password\"")
        };
        reader.mistake(value.span(), message, help);
    }
    auth
}

/// A key without `auth` protects nothing: nobody shall believe that it does. `auth` itself may be
/// there and wrong, which is another mistake.
fn check_unused(section: &Section<'_>, with: &str) {
    let auth = section.value("auth").and_then(|value| value.get_ref().as_str());
    if auth.is_some_and(|auth| auth != "none") {
        return;
    }
    let keys: &[&str] = match with {
        "hmac" => &["key_file", "key_id", "auth_mode", "receive_keys"],
        _ => &["key_file"],
    };
    for key in keys {
        if let Some(value) = section.value(key) {
            let message = format!("{key} has no use: adverts are not authenticated");
            let help = format!("add auth = {with:?}, or remove {key}");
            section.reader().mistake(value.span(), message, help);
        }
    }
}

/// The name of a mode in the configuration.
pub(in crate::config) const fn auth_mode_name(mode: HmacMode) -> &'static str {
    match mode {
        HmacMode::Receive => "receive",
        HmacMode::Permissive => "permissive",
        HmacMode::Enforce => "enforce",
    }
}

fn hmac(section: &Section<'_>) -> Option<HmacSpec> {
    let modes = [HmacMode::Receive, HmacMode::Permissive, HmacMode::Enforce];
    let names = modes.map(|mode| (auth_mode_name(mode), mode));
    let mode = section.word("auth_mode", &names).unwrap_or(HmacMode::Enforce);
    let mut ids = Vec::new();
    let signing = hmac_key(section, "key_id", &mut ids);
    let tables = section.tables("receive_keys", RECEIVE_KEYS, &known::RECEIVE_KEY);
    let receiving: Vec<_> =
        tables.iter().flatten().map(|table| hmac_key(table, "id", &mut ids)).collect();
    Some(HmacSpec {
        mode,
        signing: signing?,
        receiving: receiving.into_iter().collect::<Option<_>>()?,
    })
}

/// A key and its number, which differs from those before.
fn hmac_key(section: &Section<'_>, id_key: &str, ids: &mut Vec<u8>) -> Option<FromFile<HmacKey>> {
    let id = key_id(section, id_key, ids);
    // Without a number, the file can still be checked.
    let number = id.unwrap_or(1);
    let key = secret::read(section, KeyKind::Hmac, |bytes| HmacKey::from_text(number, bytes));
    id.and(key)
}

fn key_id(section: &Section<'_>, id_key: &str, ids: &mut Vec<u8>) -> Option<u8> {
    section.require(id_key, &format!("{id_key} = 1"))?;
    let number = section.integer(id_key)?;
    let reader = section.reader();
    let Some(id) = u8::try_from(*number.get_ref()).ok().filter(|id| *id > 0) else {
        let message = format!("{id_key} {} is out of range: it is 1 to 255", number.get_ref());
        reader.error(number.span(), message);
        return None;
    };
    if ids.contains(&id) {
        let message = format!("there is a key {id} already");
        reader.mistake(number.span(), message, "give every key a number of its own");
        return None;
    }
    ids.push(id);
    Some(id)
}

/// The name of a checksum mode in the configuration.
pub(in crate::config) const fn checksum_name(mode: ChecksumMode) -> &'static str {
    match mode {
        ChecksumMode::Auto => "auto",
        ChecksumMode::Always(ChecksumForm::PseudoHeader) => "pseudo-header",
        ChecksumMode::Always(ChecksumForm::Message) => "message",
    }
}

fn checksum(section: &Section<'_>) -> ChecksumMode {
    let forms = [ChecksumForm::PseudoHeader, ChecksumForm::Message].map(ChecksumMode::Always);
    let modes = [ChecksumMode::Auto, forms[0], forms[1]];
    section.word("checksum", &modes.map(|mode| (checksum_name(mode), mode))).unwrap_or_default()
}

/// Over IPv6 there is one form of the checksum only.
pub(super) fn check_checksum(section: &Section<'_>, addresses: &Addresses) {
    let ipv6_only = addresses.has(Family::Ipv6) && !addresses.has(Family::Ipv4);
    if let (true, Some(value)) = (ipv6_only, section.value("checksum")) {
        let message = "checksum is for IPv4: over IPv6 there is one form only";
        section.reader().mistake(value.span(), message, "remove checksum");
    }
}
