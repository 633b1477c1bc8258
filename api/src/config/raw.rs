//! Settings as they were given, before anything is known about their meaning: flags, `GARNER_…` variables and the file.

use std::collections::BTreeMap;
use std::fmt;

use super::error::ConfigError;

/// What was written for one key.
#[derive(Clone, Debug, PartialEq)]
pub enum RawValue {
    /// A string, number or boolean, as text.
    Scalar(String),
    /// A list of such; in a variable, separated by commas.
    List(Vec<String>),
    /// A list of tables of such.
    Tables(Vec<BTreeMap<String, String>>),
}

impl fmt::Display for RawValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawValue::Scalar(text) => write!(f, "{text:?}"),
            RawValue::List(items) => write!(f, "{items:?}"),
            RawValue::Tables(tables) => write!(f, "{tables:?}"),
        }
    }
}

/// Everything that was given. Later sources do not replace earlier ones here: [`RawSettings::lookup`] knows the order.
#[derive(Clone, Debug, Default)]
pub struct RawSettings {
    /// By key: the flag's name and its value.
    flags: BTreeMap<&'static str, (&'static str, String)>,
    /// By variable name.
    env: BTreeMap<String, String>,
    /// By key.
    file: BTreeMap<String, RawValue>,
    /// `[overrides.<tenant>]` of the file, by tenant and the rest of the key.
    overrides: BTreeMap<String, BTreeMap<String, RawValue>>,
    /// Tables of the file, for empty sections that are unknown.
    file_sections: Vec<String>,
    file_name: String,
}

impl RawSettings {
    /// Adds a flag that was given.
    pub fn with_flag(mut self, key: &'static str, flag: &'static str, value: Option<String>) -> Self {
        if let Some(value) = value {
            self.flags.insert(key, (flag, value));
        }
        self
    }

    /// Takes the environment. Only `GARNER_…` and `AWS_…` are kept.
    pub fn with_env(mut self, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = |name: &str| name.starts_with("GARNER_") || name.starts_with("AWS_");
        self.env.extend(vars.into_iter().filter(|(name, _)| known(name)));
        self
    }

    /// Takes the text of a TOML file. Errors name the file, line and column.
    pub fn with_file(mut self, name: &str, text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let before = &text[..error.span().map_or(0, |s| s.start.min(text.len()))];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            ConfigError(format!("{name}:{line}:{column}: {}", one_line(error.message())))
        })?;
        self.file_name = name.to_string();
        let mut values = Vec::new();
        for (name, value) in table {
            match (name.as_str(), value) {
                ("overrides", toml::Value::Table(tenants)) => self.take_overrides(tenants)?,
                (_, value) => self.flatten(name, value, &mut values)?,
            }
        }
        self.file.extend(values);
        Ok(self)
    }

    /// Tenants' names may hold dots, so they are no part of a flat key.
    fn take_overrides(&mut self, tenants: toml::Table) -> Result<(), ConfigError> {
        for (tenant, value) in tenants {
            let toml::Value::Table(table) = value else {
                return Err(ConfigError(format!(
                    "overrides.{tenant} in {}: expected a section of settings",
                    self.file_name
                )));
            };
            let mut values = Vec::new();
            let sections = self.file_sections.len();
            for (name, value) in table {
                self.flatten(name, value, &mut values)?;
            }
            self.file_sections.truncate(sections);
            self.overrides.insert(tenant, values.into_iter().collect());
        }
        Ok(())
    }

    fn flatten(
        &mut self,
        key: String,
        value: toml::Value,
        out: &mut Vec<(String, RawValue)>,
    ) -> Result<(), ConfigError> {
        let read = match value {
            toml::Value::Table(inner) => {
                self.file_sections.push(key.clone());
                for (name, value) in inner {
                    self.flatten(format!("{key}.{name}"), value, out)?;
                }
                return Ok(());
            }
            toml::Value::Array(items) => list(&items),
            value => scalar(&value).map(RawValue::Scalar),
        };
        let Some(value) = read else {
            return Err(ConfigError(format!(
                "{key} in {}: expected a string, number, boolean or a list of those",
                self.file_name
            )));
        };
        out.push((key, value));
        Ok(())
    }

    /// What each tenant's own section says about `name`, and where, for messages.
    pub fn overrides(&self, name: &str) -> impl Iterator<Item = (&str, &RawValue, String)> {
        let found = self
            .overrides
            .iter()
            .filter_map(move |(tenant, own)| Some((tenant, own.get(name)?)));
        found.map(|(tenant, value)| (tenant.as_str(), value, format!("{}, tenant {tenant}", self.file_name)))
    }

    /// The value for `key` from the strongest source that has one (flag, its variable, one of `other_vars`, file), and
    /// where it came from, for messages.
    pub fn lookup(&self, key: &str, other_vars: &[&str]) -> Option<(RawValue, String)> {
        if let Some((flag, value)) = self.flags.get(key) {
            return Some((RawValue::Scalar(value.clone()), format!("flag {flag}")));
        }
        let own = env_name(key);
        for name in std::iter::once(own.as_str()).chain(other_vars.iter().copied()) {
            if let Some(value) = self
                .env
                .get(name)
                .filter(|value| name.starts_with("GARNER_") || !value.is_empty())
            {
                return Some((RawValue::Scalar(value.clone()), format!("variable {name}")));
            }
        }
        let value = self.file.get(key)?;
        Some((value.clone(), self.file_name.clone()))
    }

    /// The first thing given that none of `known` keys asks for, with the nearest key that exists.
    pub fn check_all_known(&self, known: &[&str]) -> Result<(), ConfigError> {
        for key in self.file.keys() {
            if !known.contains(&key.as_str()) {
                return Err(self.unknown_in_file(key, known));
            }
        }
        for section in &self.file_sections {
            let inside = |key: &&str| key.strip_prefix(section.as_str()).is_some_and(|k| k.starts_with('.'));
            if !known.iter().any(inside) {
                return Err(self.unknown_in_file(section, known));
            }
        }
        for (tenant, own) in &self.overrides {
            let known_here: Vec<&str> = known.iter().filter_map(|key| key.strip_prefix(PER_TENANT)).collect();
            if let Some(key) = own.keys().find(|key| !known_here.contains(&key.as_str())) {
                let near = nearest(key, known_here.iter().copied());
                let place = format!("overrides.{tenant} in {}", self.file_name);
                return Err(ConfigError(format!("unknown setting {key} of {place}{near}")));
            }
        }
        let global = known.iter().filter(|key| !key.starts_with(PER_TENANT));
        let names: Vec<String> = global.map(|key| env_name(key)).collect();
        for name in self.env.keys().filter(|name| name.starts_with("GARNER_")) {
            if !names.contains(name) && name != CONFIG_VARIABLE && !is_service_link(name) {
                let near = nearest(name, names.iter().map(String::as_str));
                return Err(ConfigError(format!("unknown environment variable {name}{near}")));
            }
        }
        Ok(())
    }

    fn unknown_in_file(&self, key: &str, known: &[&str]) -> ConfigError {
        let near = nearest(key, known.iter().copied());
        ConfigError(format!("unknown setting {key} in {}{near}", self.file_name))
    }
}

/// Names the settings file, like `--config`.
pub const CONFIG_VARIABLE: &str = "GARNER_CONFIG";

/// What the keys of settings begin with that stand in a tenant's own section.
pub const PER_TENANT: &str = "overrides.<tenant>.";

/// A list of scalars, or of tables of scalars.
fn list(items: &[toml::Value]) -> Option<RawValue> {
    if let Some(scalars) = items.iter().map(scalar).collect() {
        return Some(RawValue::List(scalars));
    }
    let table = |item: &toml::Value| {
        let cells = item
            .as_table()?
            .iter()
            .map(|(name, cell)| Some((name.clone(), scalar(cell)?)));
        cells.collect::<Option<BTreeMap<String, String>>>()
    };
    items
        .iter()
        .map(table)
        .collect::<Option<Vec<_>>>()
        .map(RawValue::Tables)
}

/// The variable of a key: `limits.max_line_size` is `GARNER_LIMITS_MAX_LINE_SIZE`.
pub fn env_name(key: &str) -> String {
    format!("GARNER_{}", key.replace('.', "_").to_ascii_uppercase())
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Kubernetes sets such variables in every pod beside a Service called `garner` or `garner-…`
/// (kubernetes.io, "Discovering services": `GARNER_SERVICE_HOST`, `GARNER_PORT_3100_TCP_ADDR`, …).
fn is_service_link(name: &str) -> bool {
    let port_parts = |rest: &str| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && parts
                .next()
                .is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name
            .match_indices("_PORT_")
            .any(|(at, mark)| port_parts(&name[at + mark.len()..]))
}

/// `; did you mean …?` where something near exists, else where to look.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let last = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let known: Vec<&str> = known.collect();
    if let Some(key) = known
        .iter()
        .find(|key| wrong.strip_prefix(**key).is_some_and(|rest| rest.starts_with('.')))
    {
        return format!("; {key} takes a value, not a section");
    }
    let mut best: Option<(usize, &str)> = None;
    for key in known {
        let whole = edit_distance(wrong, key);
        let by_name = edit_distance(wrong.rsplit('.').next().unwrap_or(wrong), last(key)) + 1;
        let distance = whole.min(by_name);
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, key));
        }
    }
    match best {
        Some((distance, key)) if distance <= wrong.len() / 3 + 1 => format!("; did you mean {key}?"),
        _ => "; docs/configuration.md lists all settings".to_string(),
    }
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.bytes().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
