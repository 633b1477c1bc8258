//! `ip("…")`: finds addresses in bytes and compares them with one address, a range or a prefix.

use std::net::IpAddr;

/// A set of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpSet {
    /// One.
    Single(IpAddr),
    /// From the first to the last, both inside, of one family.
    Range(IpAddr, IpAddr),
    /// `10.0.0.0/8`.
    Prefix(IpAddr, u32),
}

impl IpSet {
    /// Reads `192.168.0.1`, `192.168.0.1-192.168.0.9` or `192.168.0.0/16`, and the same of IPv6.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(IpSet::Single(address));
        }
        if let Some((address, bits)) = text.split_once('/')
            && let Ok(address) = address.parse::<IpAddr>()
            && let Ok(bits) = bits.parse::<u32>()
            && bits <= if address.is_ipv4() { 32 } else { 128 }
        {
            return Ok(IpSet::Prefix(address, bits));
        }
        if let Some((first, last)) = text.split_once('-')
            && let (Ok(first), Ok(last)) = (first.parse::<IpAddr>(), last.parse::<IpAddr>())
            && first.is_ipv4() == last.is_ipv4()
            && first <= last
        {
            return Ok(IpSet::Range(first, last));
        }
        Err(format!("ip: invalid pattern: {}", crate::logql::units::quote(text)))
    }

    fn contains(&self, address: IpAddr) -> bool {
        match self {
            IpSet::Single(own) => *own == address,
            IpSet::Range(first, last) => first.is_ipv4() == address.is_ipv4() && *first <= address && address <= *last,
            IpSet::Prefix(IpAddr::V4(own), bits) => match address {
                IpAddr::V4(other) => {
                    let shift = 32 - bits;
                    *bits == 0 || own.to_bits() >> shift == other.to_bits() >> shift
                }
                IpAddr::V6(_) => false,
            },
            IpSet::Prefix(IpAddr::V6(own), bits) => match address {
                IpAddr::V6(other) => {
                    let shift = 128 - bits;
                    *bits == 0 || own.to_bits() >> shift == other.to_bits() >> shift
                }
                IpAddr::V4(_) => false,
            },
        }
    }

    /// Whether some address in `text` is in the set. Where an address may start is guessed as Loki guesses it
    /// (grafana/loki `pkg/logql/log/ip.go`): what looks like one is skipped as a whole.
    pub fn is_in(&self, text: &[u8]) -> bool {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let charset: fn(u8) -> bool = if starts_v4(rest) {
                |b| b.is_ascii_digit() || b == b'.'
            } else if starts_v6(rest) {
                |b| b.is_ascii_hexdigit() || b == b':' || b == b'.'
            } else {
                at += 1;
                continue;
            };
            let len = rest.iter().take_while(|b| charset(**b)).count();
            let address = std::str::from_utf8(&rest[..len]).ok().and_then(|t| t.parse().ok());
            if address.is_some_and(|a| self.contains(a)) {
                return true;
            }
            at += len + 1;
        }
        false
    }
}

fn starts_v4(text: &[u8]) -> bool {
    text.len() > 3 && text[0].is_ascii_digit() && text[1..4].contains(&b'.')
}

fn starts_v6(text: &[u8]) -> bool {
    let at = |i: usize| text.get(i).copied().unwrap_or(0);
    if at(0) == b':' && at(1) == b':' {
        return at(2).is_ascii_hexdigit();
    }
    let digits = text.iter().take(4).take_while(|b| b.is_ascii_hexdigit()).count();
    digits > 0 && at(digits) == b':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_lines() {
        for (set, line, expected) in [
            ("192.168.0.0/16", "from 192.168.4.5 port 1", true),
            ("192.168.0.0/16", "from 10.0.0.1", false),
            ("10.0.0.1-10.0.0.60", "x=10.0.0.60,", true),
            ("10.0.0.1-10.0.0.60", "x=10.0.0.61,", false),
            ("2001:db8::/32", "addr 2001:db8::1 ok", true),
            ("::1", "[::1]:80", true),
            ("0.0.0.0/0", "no address", false),
            ("1.2.3.4", "1.2.3.4.5", false),
        ] {
            let got = IpSet::parse(set).map(|s| s.is_in(line.as_bytes()));
            assert_eq!(got, Ok(expected), "{set} in {line}");
        }
        assert_eq!(IpSet::parse("bad"), Err("ip: invalid pattern: \"bad\"".to_string()));
    }
}
