//! Whose request it is: `X-Scope-OrgID`, checked as Loki checks it.

use http::HeaderMap;

use garner_storage::model::TenantId;

use crate::error::{Failure, FailureKind};

/// The header of Loki, Mimir and Cortex.
pub(crate) const TENANT_HEADER: &str = "x-scope-orgid";
/// The tenant of requests without the header, as in Loki with `auth_enabled: false`.
const DEFAULT_TENANT: &str = "fake";

/// The tenants that a read names, sorted, each once, never none: `a|b` reads two at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants(Vec<TenantId>);

impl Tenants {
    /// Most tenants that one request may name. Each costs a view and a scan of its own.
    pub const MAX: usize = 100;

    /// Those of a request. Without the header it is `fake`, or refused with 401 where tenants are `required`.
    pub fn of(headers: &HeaderMap, required: bool) -> Result<Self, Failure> {
        let value = headers
            .get(TENANT_HEADER)
            .map(|value| value.as_bytes())
            .unwrap_or_default();
        let names = match std::str::from_utf8(value) {
            Ok("") if required => return Err(Failure::new(FailureKind::Unauthorized, "no org id")),
            Ok("") => DEFAULT_TENANT,
            Ok(names) => names,
            Err(_) => return Err(Failure::new(FailureKind::BadData, "tenant ID is not UTF-8")),
        };
        let mut tenants = Vec::new();
        for name in names.split('|') {
            if tenants.len() >= Self::MAX {
                let text = format!("X-Scope-OrgID names more than {} tenants", Self::MAX);
                return Err(Failure::bad_data(text));
            }
            tenants.push(TenantId::new(name).map_err(|error| Failure::bad_data(error.to_string()))?);
        }
        tenants.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        tenants.dedup();
        Ok(Tenants(tenants))
    }

    /// All of them.
    pub fn all(&self) -> &[TenantId] {
        &self.0
    }

    /// The first of them.
    pub fn first(&self) -> Result<&TenantId, Failure> {
        self.0.first().ok_or_else(|| Failure::bad_data("no org id"))
    }

    /// The only one; requests that take one tenant refuse several.
    pub fn one(&self) -> Result<&TenantId, Failure> {
        match self.0.as_slice() {
            [tenant] => Ok(tenant),
            // dskit `tenant/resolver.go` by way of `user.ErrTooManyOrgIDs`.
            _ => Err(Failure::bad_data("multiple org IDs present")),
        }
    }
}

/// The tenant of a request that takes only one.
pub fn tenant_of(headers: &HeaderMap, required: bool) -> Result<TenantId, Failure> {
    Tenants::of(headers, required)?.one().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_come_from_the_header() {
        let check = |header: Option<&str>, required: bool, expected: Result<&str, &str>| {
            let mut headers = HeaderMap::new();
            if let Some(name) = header {
                headers.insert(TENANT_HEADER, name.parse().expect("a header value"));
            }
            let tenant = tenant_of(&headers, required);
            let got = tenant.as_ref().map(TenantId::as_str).map_err(|f| f.message());
            assert_eq!(got, expected);
        };
        check(None, false, Ok("fake"));
        check(None, true, Err("no org id"));
        check(Some(""), true, Err("no org id"));
        check(Some("team-a"), true, Ok("team-a"));
        check(
            Some("a/b"),
            true,
            Err("tenant ID 'a/b' contains unsupported character '/'"),
        );
        check(Some(".."), false, Err("tenant ID is '.' or '..'"));
        check(
            Some(&"a".repeat(151)),
            false,
            Err("tenant ID is too long: max 150 characters"),
        );
        check(Some("a|b"), false, Err("multiple org IDs present"));
        check(Some("a|a"), false, Ok("a"));
        check(Some("a|"), false, Err("no org id"));
        let mut headers = HeaderMap::new();
        headers.insert(TENANT_HEADER, "b|a|b".parse().expect("a header value"));
        let tenants = Tenants::of(&headers, true).expect("tenants");
        let names: Vec<&str> = tenants.all().iter().map(TenantId::as_str).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
