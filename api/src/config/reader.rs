//! Turns raw settings into typed values. Reading a setting declares it: the same call gives its key, kind, default and
//! documentation, so that known keys, defaults and `docs/configuration.md` cannot drift apart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::duration::parse_duration;
use super::error::ConfigError;
use super::raw::{PER_TENANT, RawSettings, RawValue, env_name};
use super::size::parse_size;

/// How the text of a setting is read.
pub struct Kind<T> {
    /// What the operator is told where the text does not fit.
    expected: &'static str,
    parse: fn(&RawValue) -> Option<T>,
}

fn text(value: &RawValue) -> Option<&str> {
    match value {
        RawValue::Scalar(text) => Some(text),
        RawValue::List(_) | RawValue::Tables(_) => None,
    }
}

/// `10m`, `1w`, `30d1h`, `0`.
pub const DURATION: Kind<Duration> = Kind {
    expected: r#"a duration such as "10m", "1w" or "30d1h""#,
    parse: |value| parse_duration(text(value)?),
};
/// `256KB`, `4MB`, bytes.
pub const SIZE: Kind<u64> = Kind {
    expected: r#"a size such as "256KB", "4MB" or a number of bytes"#,
    parse: |value| parse_size(text(value)?),
};
/// A number of things.
pub const COUNT: Kind<usize> = Kind {
    expected: "a whole number that is not negative",
    parse: |value| text(value)?.parse().ok(),
};
/// A number with a fraction, not negative.
pub const NUMBER: Kind<f64> = Kind {
    expected: "a number that is not negative",
    parse: |value| text(value)?.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0),
};
/// `true` or `false`.
pub const BOOL: Kind<bool> = Kind {
    expected: "true or false",
    parse: |value| text(value)?.parse().ok(),
};
/// Any text.
pub const TEXT: Kind<String> = Kind {
    expected: "a text",
    parse: |value| text(value).map(str::to_string),
};
/// A list of texts.
pub const LIST: Kind<Vec<String>> = Kind {
    expected: r#"a list such as ["a", "b"], or "a,b" in a variable"#,
    parse: |value| {
        Some(match value {
            RawValue::List(items) => items.clone(),
            RawValue::Tables(_) => return None,
            RawValue::Scalar(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(str::to_string).collect()
            }
        })
    },
};
/// Where to listen.
pub const ADDRESS: Kind<SocketAddr> = Kind {
    expected: r#"an address and port such as "127.0.0.1:3100" or "[::]:3100""#,
    parse: |value| text(value)?.parse().ok(),
};

impl<T> Kind<T> {
    /// A kind of its own, for settings with few words.
    pub const fn new(expected: &'static str, parse: fn(&RawValue) -> Option<T>) -> Self {
        Kind { expected, parse }
    }
}

impl<T> Kind<T> {
    /// Whether its values are lists.
    fn is_list(&self) -> bool {
        self.expected.starts_with("a list")
    }

    /// What a value is; `None` where it does not fit.
    pub fn read(&self, value: &RawValue) -> Option<T> {
        (self.parse)(value)
    }
}

/// The text of a scalar, for kinds made with [`Kind::new`].
pub fn scalar_text(value: &RawValue) -> Option<&str> {
    text(value)
}

/// A setting in force.
#[derive(Clone, Debug)]
pub struct Effective {
    /// `section.name`.
    pub key: &'static str,
    /// What it is, as it was written; of a secret nothing.
    pub value: RawValue,
    /// Whether it is not the default.
    pub is_changed: bool,
}

/// One setting as it was declared by reading it.
#[derive(Debug, Clone)]
pub struct Declared {
    /// `section.name`.
    pub key: &'static str,
    /// The default as one would write it.
    pub default: &'static str,
    /// What it does and what moves when it is turned.
    pub doc: &'static str,
    /// Variables besides its own that are read.
    pub other_vars: &'static [&'static str],
}

impl Declared {
    /// Its row in docs/configuration.md: key, default, variables, documentation.
    pub fn markdown_row(&self) -> String {
        let default = if self.default.is_empty() {
            "empty".to_string()
        } else {
            format!("`{}`", self.default)
        };
        if self.key.starts_with(PER_TENANT) {
            return format!("| `{}` | as for all | none | {} |", self.key, self.doc);
        }
        let mut vars = format!("`{}`", env_name(self.key));
        for name in self.other_vars {
            vars.push_str(&format!(", `{name}`"));
        }
        format!("| `{}` | {default} | {vars} | {} |", self.key, self.doc)
    }
}

/// Reads settings and remembers what was asked for.
pub struct Reader<'a> {
    raw: &'a RawSettings,
    declared: Vec<Declared>,
    effective: Vec<Effective>,
}

impl<'a> Reader<'a> {
    /// A reader of `raw`.
    pub fn new(raw: &'a RawSettings) -> Self {
        Reader {
            raw,
            declared: Vec::new(),
            effective: Vec::new(),
        }
    }

    /// Declares and reads one setting.
    pub fn get<T>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        default: &'static str,
        doc: &'static str,
    ) -> Result<T, ConfigError> {
        self.get_or_vars(key, kind, default, &[], doc)
    }

    /// As [`Reader::get`], for settings that other programs' variables also give.
    pub fn get_or_vars<T>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        default: &'static str,
        other_vars: &'static [&'static str],
        doc: &'static str,
    ) -> Result<T, ConfigError> {
        self.declared.push(Declared {
            key,
            default,
            doc,
            other_vars,
        });
        let (value, origin) = self
            .raw
            .lookup(key, other_vars)
            .unwrap_or_else(|| (RawValue::Scalar(default.to_string()), "defaults".to_string()));
        // A secret never reaches a log or a page, not even a mistyped one.
        let is_secret = key.contains("secret") || key.contains("token") || key.contains("access_key");
        let shown = if is_secret {
            "…".to_string()
        } else {
            value.to_string()
        };
        let split = |text: &str| {
            text.split(',')
                .filter(|item| !item.is_empty())
                .map(str::to_string)
                .collect()
        };
        let written = |value: &RawValue| match value {
            RawValue::Scalar(text) if kind.is_list() => RawValue::List(split(text)),
            _ => value.clone(),
        };
        let default = written(&RawValue::Scalar(default.to_string()));
        let in_force = written(&value);
        self.effective.push(Effective {
            key,
            is_changed: in_force != default,
            value: if is_secret {
                RawValue::Scalar(shown.clone())
            } else {
                in_force
            },
        });
        (kind.parse)(&value).ok_or_else(|| {
            ConfigError(format!(
                "bad value {shown} for {key} ({origin}): expected {}",
                kind.expected
            ))
        })
    }

    /// Declares a setting that tenants may have their own value of, and reads it for each that has; `key` begins with
    /// [`PER_TENANT`].
    pub fn per_tenant<T>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        doc: &'static str,
    ) -> Result<BTreeMap<String, T>, ConfigError> {
        self.declared.push(Declared {
            key,
            default: "",
            doc,
            other_vars: &[],
        });
        let name = key.strip_prefix(PER_TENANT).unwrap_or(key);
        let mut values = BTreeMap::new();
        for (tenant, value, origin) in self.raw.overrides(name) {
            let parsed = (kind.parse)(value).ok_or_else(|| {
                ConfigError(format!(
                    "bad value {value} for {name} ({origin}): expected {}",
                    kind.expected
                ))
            })?;
            values.insert(tenant.to_string(), parsed);
        }
        Ok(values)
    }

    /// What was read so far, in order.
    pub fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// What is in force, in the order of the groups.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Refuses anything given that no call asked for.
    pub fn finish(self) -> Result<Vec<Declared>, ConfigError> {
        let keys: Vec<&str> = self.declared.iter().map(|d| d.key).collect();
        self.raw.check_all_known(&keys)?;
        Ok(self.declared)
    }
}
