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
