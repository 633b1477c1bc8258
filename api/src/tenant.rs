//! Whose request it is: `X-Scope-OrgID`, checked as Loki checks it.

use http::HeaderMap;

use garner_storage::model::TenantId;

use crate::error::{Failure, FailureKind};

/// The header of Loki, Mimir and Cortex.
const TENANT_HEADER: &str = "x-scope-orgid";
/// The tenant of requests without the header, as in Loki with `auth_enabled: false`.
const DEFAULT_TENANT: &str = "fake";

/// The tenant of a request. Without the header it is `fake`, or refused with 401 where tenants are `required`.
pub fn tenant_of(headers: &HeaderMap, required: bool) -> Result<TenantId, Failure> {
    let value = headers
        .get(TENANT_HEADER)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    let name = match std::str::from_utf8(value) {
        Ok("") if required => return Err(Failure::new(FailureKind::Unauthorized, "no org id")),
        Ok("") => DEFAULT_TENANT,
        Ok(name) => name,
        Err(_) => return Err(Failure::new(FailureKind::BadData, "tenant ID is not UTF-8")),
    };
    if name.contains('|') && name.split('|').all(|part| TenantId::new(part).is_ok()) {
        return Err(Failure::new(
            FailureKind::BadData,
            "queries over several tenants (X-Scope-OrgID: a|b) are not supported; name one tenant",
        ));
    }
    TenantId::new(name).map_err(|error| Failure::new(FailureKind::BadData, error.to_string()))
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
        check(
            Some("a|b"),
            false,
            Err("queries over several tenants (X-Scope-OrgID: a|b) are not supported; name one tenant"),
        );
    }
}
