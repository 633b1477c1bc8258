//! What is wrong with a regular expression, in the words of Go's `regexp/syntax`, as far as both libraries agree on what
//! is wrong.

use regex_syntax::ast::ErrorKind;
use regex_syntax::ast::parse::Parser;

/// `error parsing regexp: missing closing ): …`; `reason` is used where Go's library has no such error.
pub(super) fn regex_error(pattern: &str, reason: &str) -> String {
    let Err(error) = Parser::new().parse(pattern) else {
        return format!("error parsing regexp: {reason}");
    };
    let span = error.span();
    let at = pattern.get(span.start.offset..span.end.offset).unwrap_or("");
    let rest = pattern.get(span.start.offset..).unwrap_or("");
    let first = rest.get(..rest.chars().next().map_or(0, char::len_utf8)).unwrap_or("");
    let (code, shown) = match error.kind() {
        ErrorKind::GroupUnclosed => ("missing closing )", pattern),
        ErrorKind::GroupUnopened => ("unexpected )", pattern),
        ErrorKind::ClassUnclosed => ("missing closing ]", rest),
        ErrorKind::ClassRangeInvalid | ErrorKind::ClassRangeLiteral => ("invalid character class range", at),
        ErrorKind::ClassEscapeInvalid | ErrorKind::EscapeUnrecognized | ErrorKind::UnsupportedBackreference => {
            ("invalid escape sequence", at)
        }
        ErrorKind::EscapeHexEmpty | ErrorKind::EscapeHexInvalid | ErrorKind::EscapeHexInvalidDigit => {
            ("invalid escape sequence", at)
        }
        ErrorKind::EscapeUnexpectedEof => ("trailing backslash at end of expression", ""),
        ErrorKind::RepetitionMissing => ("missing argument to repetition operator", first),
        ErrorKind::RepetitionCountInvalid
        | ErrorKind::RepetitionCountDecimalEmpty
        | ErrorKind::RepetitionCountUnclosed => ("invalid repeat count", at),
        ErrorKind::GroupNameDuplicate { .. }
        | ErrorKind::GroupNameEmpty
        | ErrorKind::GroupNameInvalid
        | ErrorKind::GroupNameUnexpectedEof => ("invalid named capture", at),
        ErrorKind::FlagUnrecognized
        | ErrorKind::FlagUnexpectedEof
        | ErrorKind::FlagDuplicate { .. }
        | ErrorKind::FlagDanglingNegation
        | ErrorKind::UnsupportedLookAround => ("invalid or unsupported Perl syntax", at),
        ErrorKind::NestLimitExceeded(_) => ("expression nests too deeply", pattern),
        _ => return format!("error parsing regexp: {reason}"),
    };
    format!("error parsing regexp: {code}: `{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_go() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(
                regex_error(pattern, "other"),
                format!("error parsing regexp: {expected}")
            );
        };
        check("(", "missing closing ): `(`");
        check("a)(", "unexpected ): `a)(`");
        check("a[b", "missing closing ]: `[b`");
        check("*a", "missing argument to repetition operator: `*`");
        check("a\\", "trailing backslash at end of expression: ``");
        check("[z-a]", "invalid character class range: `z-a`");
        check("a", "other");
    }
}
