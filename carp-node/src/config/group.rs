//! `[group.NAME]`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::known::{self, nearest};
use super::read::{Reader, Section, did_you_mean, header_of};
use super::router::check_name;
use super::spec::GroupSpec;

const EXAMPLE: &str = "routers = [\"web\", \"dns\"]";

/// Reads every `[group.NAME]`, in the order of the file. `routers` are the names that there are.
pub(super) fn read_all(root: &Section<'_>, routers: &[&str]) -> Vec<GroupSpec> {
    let reader = root.reader();
    let Some(value) = root.value("group") else { return Vec::new() };
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong_type(value, "a table for each group", "[group.site]");
        return Vec::new();
    };
    let mut tables: Vec<_> = table.iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let mut members = Members { reader, routers, taken: BTreeMap::new() };
    tables.into_iter().filter_map(|(name, value)| members.read(name, value)).collect()
}

/// The names that there are, and those that are in a group already.
struct Members<'a> {
    reader: &'a Reader<'a>,
    routers: &'a [&'a str],
    taken: BTreeMap<String, String>,
}

impl<'a> Members<'a> {
    fn read(
        &mut self,
        name: &Spanned<Cow<'_, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Option<GroupSpec> {
        let reader = self.reader;
        let DeValue::Table(table) = value.get_ref() else {
            reader.wrong_type(value, "a table for each group", "[group.site]");
            return None;
        };
        check_name(reader, name, "group");
        let title = format!("[group.{}]", name.get_ref());
        let section = Section::open(reader, table, header_of(name, value), title, &known::GROUP);
        section.require("routers", EXAMPLE)?;
        let names = section.texts("routers", EXAMPLE)?;
        self.check_length(&names);
        let mut member = |name| self.member(section.title(), name);
        let routers = names.get_ref().iter().filter_map(&mut member).collect();
        Some(GroupSpec {
            name: name.get_ref().to_string(),
            routers,
            place: reader.locate(section.header()),
            written: section.written(),
        })
    }

    fn check_length(&self, names: &Spanned<Vec<Spanned<&str>>>) {
        match &names.get_ref()[..] {
            [] => {
                let message = "a group needs routers";
                self.reader.mistake(names.span(), message, format!("write it like {EXAMPLE}"));
            }
            [only] => {
                let message = "a group of one router has no effect";
                let help = "name the routers that shall move with it, or remove the group";
                self.reader.warning(only.span(), message, help);
            }
            [_, _, ..] => {}
        }
    }

    /// The name, if there is such a router and it is in no other group.
    fn member(&mut self, group: &str, name: &Spanned<&str>) -> Option<String> {
        let text = *name.get_ref();
        if !self.routers.contains(&text) {
            let suggestion = nearest(text, self.routers.iter().copied());
            let message = format!("there is no router {text:?}{}", did_you_mean(suggestion));
            let help = format!("the routers are {}", self.routers.join(", "));
            self.reader.mistake(name.span(), message, help);
            return None;
        }
        let place = format!("{group} ({})", self.reader.locate(name.span()));
        if let Some(first) = self.taken.get(text) {
            let message = format!("router {text:?} is already in {first}");
            let help = "a router is in one group, and is written once";
            self.reader.mistake(name.span(), message, help);
            return None;
        }
        self.taken.insert(text.to_owned(), place);
        Some(text.to_owned())
    }
}
