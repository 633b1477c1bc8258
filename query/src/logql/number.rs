//! Numbers as Go's `text/scanner` reads them: how far one goes, and what is wrong with it. A wrong one is a token all the
//! same, which often fails again where its value is read.

/// Length of the number that `text` starts with (a digit, or a point and a digit), and the first thing that is wrong with
/// it.
pub fn scan(text: &str) -> (usize, Option<String>) {
    let mut number = Number {
        bytes: text.as_bytes(),
        at: 0,
        fault: None,
        digits: false,
        separators: false,
        invalid: None,
    };
    number.scan();
    (number.at, number.fault)
}

struct Number<'a> {
    bytes: &'a [u8],
    at: usize,
    fault: Option<String>,
    digits: bool,
    separators: bool,
    /// The first digit that its base has not.
    invalid: Option<u8>,
}

impl Number<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn lower(&self) -> u8 {
        self.peek() | 0x20
    }

    fn wrong(&mut self, message: impl Into<String>) {
        self.fault.get_or_insert_with(|| message.into());
    }

    /// Reads digits and separators; whether there was a digit.
    fn run(&mut self, base: u8, in_exponent: bool) -> bool {
        let mut any = false;
        loop {
            match self.peek() {
                b'_' => self.separators = true,
                c if base == 16 && c.is_ascii_hexdigit() => any = true,
                c if c.is_ascii_digit() => {
                    any = true;
                    if base <= 10 && c >= b'0' + base && !in_exponent {
                        self.invalid.get_or_insert(c);
                    }
                }
                _ => return any,
            }
            self.at += 1;
        }
    }

    fn scan(&mut self) {
        let (mut base, mut prefix) = (10, b' ');
        let mut float = self.peek() == b'.';
        if !float {
            if self.peek() == b'0' {
                self.at += 1;
                (base, prefix) = match self.lower() {
                    b'x' => (16, b'x'),
                    b'o' => (8, b'o'),
                    // Else it is a size in bytes, `0B`.
                    b'b' if matches!(self.bytes.get(self.at + 1), Some(b'0' | b'1')) => (2, b'b'),
                    _ => (8, b'0'),
                };
                match prefix {
                    b'0' => self.digits = true,
                    _ => self.at += 1,
                }
            }
            self.digits |= self.run(base, false);
            float = self.peek() == b'.';
        }
        if float {
            self.at += 1;
            if matches!(prefix, b'o' | b'b') {
                self.wrong(format!("invalid radix point in {}", literal(prefix)));
            }
            self.digits |= self.run(base, false);
        }
        if !self.digits {
            self.wrong(format!("{} has no digits", literal(prefix)));
        }
        let mark = self.lower();
        if mark == b'e' || mark == b'p' && prefix == b'x' {
            if mark == b'e' && !matches!(prefix, b' ' | b'0') {
                let shown = char::from(self.peek());
                self.wrong(format!("'{shown}' exponent requires decimal mantissa"));
            }
            self.at += 1;
            float = true;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if !self.run(10, true) {
                self.wrong("exponent has no digits");
            }
        } else if prefix == b'x' && float {
            self.wrong("hexadecimal mantissa requires a 'p' exponent");
        }
        if let (false, Some(digit)) = (float, self.invalid) {
            self.wrong(format!("invalid digit '{}' in {}", char::from(digit), literal(prefix)));
        }
        if self.separators && separator_is_misplaced(&self.bytes[..self.at]) {
            self.wrong("'_' must separate successive digits");
        }
    }
}

fn literal(prefix: u8) -> &'static str {
    match prefix {
        b'x' => "hexadecimal literal",
        b'o' | b'0' => "octal literal",
        b'b' => "binary literal",
        _ => "decimal literal",
    }
}

/// Whether a `_` has no digit on one of its sides; a prefix such as `0x` counts as a digit.
fn separator_is_misplaced(number: &[u8]) -> bool {
    let prefix = match number {
        [b'0', second, ..] => second | 0x20,
        _ => 0,
    };
    let is_digit = |c: u8| c.is_ascii_digit() || prefix == b'x' && c.is_ascii_hexdigit();
    let prefixed = matches!(prefix, b'x' | b'o' | b'b');
    let start = if prefixed { 2 } else { 0 };
    let mut before = if prefixed { b'0' } else { b'.' };
    for c in number.iter().skip(start) {
        match *c {
            b'_' if before != b'0' => return true,
            b'_' => before = b'_',
            c if is_digit(c) => before = b'0',
            _ if before == b'_' => return true,
            _ => before = b'.',
        }
    }
    before == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_and_fail_as_in_go() {
        for (text, len, fault) in [
            ("5m", 1, None),
            ("1.5e-3x", 6, None),
            ("0x1F ", 4, None),
            ("1_000", 5, None),
            ("0x_1", 4, None),
            (".5", 2, None),
            ("0B", 1, None),
            ("5PB", 1, None),
            ("0b101", 5, None),
            ("0x1p3", 5, None),
            ("1e", 2, Some("exponent has no digits")),
            ("1e+", 3, Some("exponent has no digits")),
            ("0x", 2, Some("hexadecimal literal has no digits")),
            ("08", 2, Some("invalid digit '8' in octal literal")),
            ("08.5", 4, None),
            ("0x1.8", 5, Some("hexadecimal mantissa requires a 'p' exponent")),
            ("0o1.5", 5, Some("invalid radix point in octal literal")),
            ("0b1e3", 5, Some("'e' exponent requires decimal mantissa")),
            ("1__0", 4, Some("'_' must separate successive digits")),
            ("1_", 2, Some("'_' must separate successive digits")),
        ] {
            let (found, wrong) = scan(text);
            assert_eq!((found, wrong.as_deref()), (len, fault), "{text}");
        }
    }
}
