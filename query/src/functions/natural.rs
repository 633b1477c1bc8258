//! Natural order of texts: runs of digits compare as numbers, so `a2` comes before `a10`.

use std::cmp::Ordering;

/// Compares chunk by chunk, digits as numbers and everything else as bytes.
pub fn natural_order(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (chunk_a, rest_a) = chunk(a);
        let (chunk_b, rest_b) = chunk(b);
        let order = if chunk_a[0].is_ascii_digit() && chunk_b[0].is_ascii_digit() {
            let (x, y) = (significant(chunk_a), significant(chunk_b));
            x.len()
                .cmp(&y.len())
                .then_with(|| x.cmp(y))
                .then_with(|| chunk_a.len().cmp(&chunk_b.len()))
        } else {
            chunk_a.cmp(chunk_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.len().cmp(&b.len())
}

/// Whether `a` comes before `b`, as github.com/facette/natsort has it: an empty text comes before nothing, and of two that
/// differ in leading zeros alone each comes before the other.
pub fn naturally_precedes(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() {
        if b.is_empty() {
            return false;
        }
        let (chunk_a, rest_a) = chunk(a);
        let (chunk_b, rest_b) = chunk(b);
        let equal = match (number(chunk_a), number(chunk_b)) {
            (Some(x), Some(y)) if x != y => return x < y,
            (Some(_), Some(_)) => true,
            _ => chunk_a == chunk_b,
        };
        if !equal {
            return chunk_a < chunk_b;
        }
        if rest_a.is_empty() || rest_b.is_empty() {
            return rest_a.is_empty();
        }
        (a, b) = (rest_a, rest_b);
    }
    false
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits)
        .ok()
        .filter(|d| !d.starts_with('+'))?
        .parse()
        .ok()
}

fn chunk(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text[0].is_ascii_digit();
    let end = text
        .iter()
        .position(|c| c.is_ascii_digit() != digits)
        .unwrap_or(text.len());
    text.split_at(end)
}

fn significant(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    &digits[zeros.min(digits.len() - 1)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_order_is_none() {
        let check = |a: &str, b: &str, expected| {
            assert_eq!(naturally_precedes(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        };
        check("a2", "a10", true);
        check("a10", "a2", false);
        check("a", "a1", true);
        check("a1", "a", false);
        check("", "a", false);
        check("a", "", false);
        check("a01", "a1", true);
        check("a1", "a01", true);
        check("A2", "a1", true);
    }

    #[test]
    fn digits_compare_as_numbers() {
        let check = |a: &str, b: &str, order| assert_eq!(natural_order(a.as_bytes(), b.as_bytes()), order, "{a} {b}");
        check("a2", "a10", Ordering::Less);
        check("a10", "a10", Ordering::Equal);
        check("", "a", Ordering::Less);
        check("a", "a1", Ordering::Less);
        check("10b", "9c", Ordering::Greater);
        check("4.9.10", "4.10.1", Ordering::Less);
    }
}
