//! From text to tables, and typed access to what is in them.
//!
//! Nothing here stops at the first error: an accessor that finds something wrong notes it and
//! returns `None`, as for a key that is absent, and reading goes on. What is built from defaults in
//! that way is thrown away at the end, when there is any error.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::Protocol;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration::{format_duration, parse_duration};
use super::error::{ConfigError, Diagnostic, Severity};
use super::host::Host;
use super::known::{self, Schema, nearest};
use super::settings::Written;
use super::source::{Location, Source};
use super::{Config, Loaded, MAX_FILE_SIZE, conflicts, group, node, router, sync};

/// Of a text that is not TOML at all, this many errors are enough.
const MAX_SYNTAX_ERRORS: usize = 10;

/// Checks a whole configuration.
pub(super) fn parse(file: &str, text: &[u8], host: &dyn Host) -> Result<Loaded, ConfigError> {
    let text = readable(file, text)?;
    let reader = Reader::new(file, text, host);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        reader.error(error.span().unwrap_or_default(), message);
    }
    if !errors.is_empty() {
        let mut diagnostics = reader.into_diagnostics();
        diagnostics.truncate(MAX_SYNTAX_ERRORS);
        return Err(ConfigError::new(diagnostics));
    }
    let config = read(&reader, table.get_ref());
    let diagnostics = reader.into_diagnostics();
    let valid = diagnostics.iter().all(|diagnostic| diagnostic.severity() == Severity::Warning);
    match config {
        Some(config) if valid => Ok(Loaded { config, warnings: diagnostics }),
        _ => Err(ConfigError::new(diagnostics)),
    }
}

/// The text, if it is text at all.
fn readable<'a>(file: &str, text: &'a [u8]) -> Result<&'a str, ConfigError> {
    if text.len() > MAX_FILE_SIZE {
        let message = "the file is too large: a configuration has at most 1 MiB";
        return Err(Diagnostic::of_file(file, message).with_help("is this the right file?").into());
    }
    let text = str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        let before = str::from_utf8(before).unwrap_or_default();
        let place = Source::new(file, before).locate(before.len()..before.len());
        place.error("this is not UTF-8").with_help("save the file as UTF-8")
    })?;
    match text.find('\0') {
        Some(nul) => {
            let place = Source::new(file, text).locate(nul..nul + 1);
            Err(place.error("a NUL byte does not belong into a text").with_help("remove it").into())
        }
        None => Ok(text),
    }
}

/// Reads every table, and compares the routers with each other.
fn read(reader: &Reader<'_>, table: &DeTable<'_>) -> Option<Config> {
    let root = Section::open(reader, table, 0..0, String::new(), &known::ROOT);
    let node =
        node::read(root.section("node", "[node]", "[node]", &known::NODE).as_ref(), reader.host);
    let drafts = router::read_all(&root);
    let names: Vec<_> = drafts.iter().map(|draft| draft.name).collect();
    let groups = group::read_all(&root, &names);
    let shares = sync::read_all(&root, &names);
    let routers: Vec<_> = drafts.into_iter().map(router::Draft::finish).collect();
    // Those that are complete are compared, also if others are not.
    let complete: Vec<_> = routers.iter().flatten().collect();
    conflicts::report(reader, &complete, &groups);
    sync::check(reader, &shares, &complete, &node.state_dir);
    let routers = routers.into_iter().collect::<Option<_>>()?;
    Some(Config { node, routers, groups, shares })
}

/// Where everything that is found is noted.
pub(super) struct Reader<'a> {
    source: Source<'a>,
    host: &'a dyn Host,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'a> Reader<'a> {
    fn new(file: &str, text: &'a str, host: &'a dyn Host) -> Self {
        Self { source: Source::new(file, text), host, found: RefCell::default() }
    }

    pub(super) const fn host(&self) -> &dyn Host {
        self.host
    }

    /// A path of the configuration: a relative one begins at the directory of the file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        Path::new(&**self.source.file()).parent().unwrap_or(Path::new("")).join(path)
    }

    pub(super) fn locate(&self, span: Range<usize>) -> Location {
        self.source.locate(span)
    }

    pub(super) fn note(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) {
        self.note(self.locate(span).error(message));
    }

    /// An error with a line that says what to do.
    pub(super) fn mistake(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(self.locate(span).error(message).with_help(help));
    }

    pub(super) fn warning(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(self.locate(span).warning(message).with_help(help));
    }

    /// Whether anything is wrong so far.
    pub(super) fn has_errors(&self) -> bool {
        self.found.borrow().iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
    }

    /// An error about the file as a whole.
    pub(super) fn whole_file(&self, message: &str, help: &str) {
        self.note(Diagnostic::of_file(self.source.file(), message).with_help(help));
    }

    /// What was found, in the order of the file.
    fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(Diagnostic::position);
        found
    }
}

/// One table: its keys are known ones, its values are asked for by type.
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    table: &'a DeTable<'a>,
    header: Range<usize>,
    title: String,
}

impl<'a> Section<'a> {
    /// Looks at a table. Keys that do not belong into it are errors. `header` is where a message
    /// about something missing points to, `title` how it calls the table.
    pub(super) fn open(
        reader: &'a Reader<'a>,
        table: &'a DeTable<'a>,
        header: Range<usize>,
        title: String,
        schema: &Schema,
    ) -> Self {
        let section = Self::unchecked(reader, table, header, title);
        section.check_keys(schema, None);
        section
    }

    /// Looks at a table whose keys depend on what is in it: [`check_keys`](Self::check_keys) is next.
    pub(super) const fn unchecked(
        reader: &'a Reader<'a>,
        table: &'a DeTable<'a>,
        header: Range<usize>,
        title: String,
    ) -> Self {
        Self { reader, table, header, title }
    }

    /// Keys that do not belong into the table are errors: unknown ones, and those that a router of
    /// this protocol has not.
    pub(super) fn check_keys(&self, schema: &Schema, protocol: Option<Protocol>) {
        for key in self.table.keys() {
            check_key(self.reader, key, &self.title, schema, protocol);
        }
    }

    pub(super) const fn reader(&self) -> &'a Reader<'a> {
        self.reader
    }

    /// Where the table begins.
    pub(super) fn header(&self) -> Range<usize> {
        self.header.clone()
    }

    /// Which keys are there, and where their values are.
    pub(super) fn written(&self) -> Written {
        let place = |value| self.reader.locate(Spanned::span(value));
        self.table.iter().map(|(key, value)| (key.get_ref().to_string(), place(value))).collect()
    }

    /// How messages call the table.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// The value of a key that has to be there; `example` shows how.
    pub(super) fn require(&self, key: &str, example: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let value = self.table.get(key);
        if value.is_none() {
            let message = format!("{} has no {key:?}", self.title);
            self.reader.mistake(self.header(), message, format!("add {example}"));
        }
        value
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// An inner table.
    pub(super) fn section(
        &self,
        key: &str,
        title: &str,
        example: &str,
        schema: &Schema,
    ) -> Option<Section<'a>> {
        let (written, value) = self.table.get_key_value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.reader.wrong_type(value, "a table", example);
            return None;
        };
        let header = header_of(written, value);
        Some(Self::open(self.reader, table, header, title.to_owned(), schema))
    }

    pub(super) fn text(&self, key: &str, example: &str) -> Option<Spanned<&'a str>> {
        self.reader.text(self.table.get(key)?, example)
    }

    pub(super) fn integer(&self, key: &str) -> Option<Spanned<i64>> {
        self.reader.integer(self.table.get(key)?)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.table.get(key)?;
        if value.get_ref().as_bool().is_none() {
            self.reader.wrong_type(value, "true or false", &format!("{key} = true"));
        }
        value.get_ref().as_bool()
    }

    /// A list of texts. Elements of another type are errors and left out.
    pub(super) fn texts(&self, key: &str, example: &str) -> Option<Spanned<Vec<Spanned<&'a str>>>> {
        let value = self.table.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.reader.wrong_type(value, "a list of strings", example);
            return None;
        };
        let texts = array.iter().filter_map(|element| self.reader.text(element, example));
        Some(Spanned::new(value.span(), texts.collect()))
    }

    /// A list of tables, such as `[{ id = 2 }]`. Elements of another type are errors and left out.
    pub(super) fn tables(
        &self,
        key: &'static str,
        example: &str,
        schema: &Schema,
    ) -> Option<Vec<Section<'a>>> {
        let value = self.table.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.reader.wrong_type(value, "a list of tables", example);
            return None;
        };
        let table = |element: &'a Spanned<DeValue<'a>>| {
            let DeValue::Table(table) = element.get_ref() else {
                self.reader.wrong_type(element, "a table", example);
                return None;
            };
            Some(Self::open(
                self.reader,
                table,
                element.span(),
                format!("an element of {key}"),
                schema,
            ))
        };
        Some(array.iter().filter_map(table).collect())
    }

    /// A duration within limits.
    pub(super) fn duration(&self, key: &str, limits: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text(key, &format!("{key} = \"{}\"", format_duration(*limits.end())))?;
        self.reader.duration(&text, limits)
    }

    /// A word of a list.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&'static str, T)]) -> Option<T> {
        let (first, _) = words.first()?;
        let text = self.text(key, &format!("{key} = {first:?}"))?;
        let found = words.iter().find(|(word, _)| word == text.get_ref());
        if found.is_none() {
            let names: Vec<_> = words.iter().map(|&(word, _)| word).collect();
            let suggestion = nearest(text.get_ref(), names.iter().copied());
            let message = format!("unknown {key} {:?}{}", text.get_ref(), did_you_mean(suggestion));
            self.reader.mistake(text.span(), message, format!("it is one of {}", names.join(", ")));
        }
        found.map(|&(_, value)| value)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn text(
        &self,
        value: &'a Spanned<DeValue<'a>>,
        example: &str,
    ) -> Option<Spanned<&'a str>> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(value, "a string", example);
        }
        text.map(|text| Spanned::new(value.span(), text))
    }

    fn integer(&self, value: &Spanned<DeValue<'_>>) -> Option<Spanned<i64>> {
        let DeValue::Integer(integer) = value.get_ref() else {
            self.error(value.span(), expected("an integer", value.get_ref()));
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix());
        if number.is_err() {
            self.error(value.span(), format!("{integer} is out of range"));
        }
        number.ok().map(|number| Spanned::new(value.span(), number))
    }

    pub(super) fn duration(
        &self,
        text: &Spanned<&str>,
        limits: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        match parse_duration(text.get_ref()) {
            Ok(duration) if limits.contains(&duration) => Some(duration),
            Ok(_) => {
                let [low, high] =
                    [limits.start(), limits.end()].map(|&limit| format_duration(limit));
                let message = format!("{} is out of range: it is {low} to {high}", text.get_ref());
                self.error(text.span(), message);
                None
            }
            Err(error) => {
                self.error(text.span(), format!("{:?}: {error}", text.get_ref()));
                None
            }
        }
    }

    pub(super) fn wrong_type(&self, value: &Spanned<DeValue<'_>>, wanted: &str, example: &str) {
        let message = expected(wanted, value.get_ref());
        self.mistake(value.span(), message, format!("write it like {example}"));
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("found", &self.found).finish_non_exhaustive()
    }
}

/// Where a table begins: at its header or its braces; if keys with dots made it, at its name.
pub(super) fn header_of(key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> Range<usize> {
    if value.span().is_empty() { key.span() } else { value.span() }
}

fn check_key(
    reader: &Reader<'_>,
    key: &Spanned<Cow<'_, str>>,
    title: &str,
    schema: &Schema,
    protocol: Option<Protocol>,
) {
    let name: &str = key.get_ref();
    if let Some((limited, protocol)) = schema.limit(name, protocol).zip(protocol) {
        let (message, help) = limited.explain(protocol);
        return reader.mistake(key.span(), message, help);
    }
    if schema.now.contains(&name) {
        return;
    }
    if schema.later.contains(&name) {
        let help = "remove it: this version of carp does not have it";
        return reader.mistake(key.span(), format!("{name:?} is not supported yet"), help);
    }
    let suggestion = schema.suggestion(name, protocol);
    let message = format!("unknown key {name:?}{}", did_you_mean(suggestion));
    let help = match suggestion {
        Some("key_file") => {
            "write the key into a file of mode 0600 and name it: key_file = \"/etc/carp/NAME.key\""
                .to_owned()
        }
        Some(_) => return reader.error(key.span(), message),
        None if title.is_empty() => {
            "the tables are [node], [router.NAME], [group.NAME] and [sync.NAME]".to_owned()
        }
        None => format!("{title} has {}", schema.keys(protocol).collect::<Vec<_>>().join(", ")),
    };
    reader.mistake(key.span(), message, help);
}

pub(super) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!("; did you mean {known:?}?"))
}

fn expected(wanted: &str, found: &DeValue<'_>) -> String {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    format!("expected {wanted}, found {found}")
}
