//! The tenant: every row, label, record and cache entry belongs to exactly one.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest tenant name in bytes, as in Loki (grafana/dskit `tenant/tenant.go`, `MaxTenantIDLength`).
const MAX_TENANT_ID_BYTES: usize = 150;

/// A checked tenant name. Cheap to clone.
///
/// Allowed are `0-9A-Za-z!-_.*'()` (dskit `tenant/tenant.go`); `.` and `..` are refused, so that a name can form no path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

/// Why a tenant name was refused; the texts are dskit's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// Nothing in it.
    #[error("no org id")]
    Empty,
    /// Over 150 bytes.
    #[error("tenant ID is too long: max 150 characters")]
    TooLong,
    /// A character outside the allowed set.
    #[error("tenant ID '{tenant}' contains unsupported character '{character}'")]
    UnsupportedCharacter {
        /// The name as it was sent.
        tenant: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// `.` or `..`, or the reserved cluster name.
    #[error("tenant ID is '.' or '..'")]
    Unsafe,
}

impl TenantId {
    /// Checks `name` as Loki does.
    pub fn new(name: &str) -> Result<Self, TenantError> {
        if name.is_empty() {
            return Err(TenantError::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(character) = name.chars().find(|c| !allowed(*c)) {
            return Err(TenantError::UnsupportedCharacter {
                tenant: name.to_string(),
                character,
            });
        }
        if name.len() > MAX_TENANT_ID_BYTES {
            return Err(TenantError::TooLong);
        }
        if name == "." || name == ".." {
            return Err(TenantError::Unsafe);
        }
        Ok(TenantId(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = TenantError;
    fn try_from(name: String) -> Result<Self, TenantError> {
        TenantId::new(&name)
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> String {
        tenant.0.to_string()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_loki_checks_them() {
        for good in ["fake", "team-a", "a_b.c*d'(e)!", "0", "...", &"x".repeat(150)] {
            assert_eq!(TenantId::new(good).map(|t| t.to_string()).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "a/b", "a|b", "a b", "ü", "a\\b", "a\0", &"x".repeat(151)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?} must be refused");
        }
    }
}
