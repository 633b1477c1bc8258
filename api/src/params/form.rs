//! The parameters of a request: the form in its body, then its query string, in order, as Go's `Request.Form` has them.

use form_urlencoded::parse;

/// Pairs in the order in which they are looked up.
#[derive(Debug, Default, Clone)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Parameters of a request with this query string and, for POST, this form body.
    pub fn new(query: Option<&str>, form: &[u8]) -> Self {
        let pairs = parse(form).chain(parse(query.unwrap_or("").as_bytes()));
        Params(
            pairs
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// The first value of `name`; empty where it is absent (as Go's `FormValue`).
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// All values of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_comes_before_the_query_string() {
        let params = Params::new(Some("query=b&match[]=x%20y&match%5B%5D=z"), b"query=a+1");
        assert_eq!(params.get("query"), "a 1");
        assert_eq!(params.get("nosuch"), "");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["x y", "z"]);
    }
}
