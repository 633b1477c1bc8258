//! Queries and what they parse to, mistakes and how they are told, and texts that nobody would write.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// Parses `query` and prints it again.
fn printed(query: &str) -> Result<String, String> {
    parse_expr(query, &ParseOptions::default())
        .map(|expr| expr.to_string())
        .map_err(|e| e.to_string())
}

/// The printed form of `query` is `expected`, and stays what it is.
fn check(query: &str, expected: &str) {
    assert_eq!(printed(query).as_deref(), Ok(expected), "{query}");
    assert_eq!(printed(expected).as_deref(), Ok(expected), "{query} again");
}

/// `query` is refused with `expected`, `line:column: message`.
fn refuse(query: &str, expected: &str) {
    let (place, message) = expected.split_once(": ").unwrap();
    assert_eq!(
        printed(query),
        Err(format!("{place}: parse error: {message}")),
        "{query}"
    );
}

#[test]
fn literals() {
    check("1", "1");
    check("+Inf", "+Inf");
    check("-iNF", "-Inf");
    check("nan", "NaN");
    check("0x8f", "143");
    check("0755", "493");
    check("1_000e2", "100000");
    check("5m30s", "5m30s");
    check("-1h", "-1h");
    check("'\\'\"'", "\"'\\\"\"");
    check("`\\n`", "\"\\\\n\"");
    check("# only a comment\n 1 # and one more", "1");
}

#[test]
fn operators_bind_as_in_prometheus() {
    check("1 + 2 * 3 ^ 4 ^ 5", "1 + 2 * 3 ^ 4 ^ 5");
    check("-a ^ b * c", "-a ^ b * c");
    let shape = |query: &str| {
        let expr = parse_expr(query, &ParseOptions::default()).unwrap();
        nest(&expr)
    };
    assert_eq!(shape("a - b - c"), "((a - b) - c)");
    assert_eq!(shape("a ^ b ^ c"), "(a ^ (b ^ c))");
    assert_eq!(
        shape("a or b and c unless d == e"),
        "(a or ((b and c) unless (d == e)))"
    );
    assert_eq!(shape("a + b * c atan2 d"), "(a + ((b * c) atan2 d))");
    assert_eq!(shape("-a ^ b"), "(-(a ^ b))");
    assert_eq!(shape("-a * b"), "((-a) * b)");
    assert_eq!(shape("a ^ -b * c"), "((a ^ (-b)) * c)");
    assert_eq!(shape("a offset 5m + b"), "(a offset 5m + b)");
    assert_eq!(shape("a </ b >/ c"), "((a </ b) >/ c)");
}

/// `expr` with parentheses around every operation.
fn nest(expr: &crate::promql::ast::Expr) -> String {
    use crate::promql::ast::Expr;
    match expr {
        Expr::Binary(e) => format!("({} {} {})", nest(&e.lhs), e.op.as_str(), nest(&e.rhs)),
        Expr::Unary(e) => format!("({}{})", if e.negative { "-" } else { "+" }, nest(&e.expr)),
        other => other.to_string(),
    }
}

#[test]
fn modifiers_of_binary_operators() {
    check("a==bool b", "a == bool b");
    check("a * on() b", "a * on () b");
    check("a * ignoring() b", "a * b");
    check("a/on(x,y)group_left(z)b", "a / on (x, y) group_left (z) b");
    check("a + ignoring(x) group_right b", "a + ignoring (x) group_right () b");
    check(
        "a + on(\"strange label\") group_left b",
        "a + on (\"strange label\") group_left () b",
    );
    check("a + fill(0) b", "a + fill (0) b");
    check(
        "a + on(x) fill_right(-1) fill_left(5m) b",
        "a + on (x) fill_left (300) fill_right (-1) b",
    );
    check("fill + fill_left", "fill + fill_left");
    refuse("a + group_left(x) b", "1:5: unexpected <group_left>");
    refuse("a - on(b) ignoring(c) d", "1:11: unexpected <ignoring>");
    refuse(
        "a + on(x) group_left = b",
        "1:22: unexpected \"=\" in grouping opts, expected \"(\"",
    );
    refuse(
        "a + bool b",
        "1:3: bool modifier can only be used on comparison operators",
    );
    refuse("1 == 1", "1:3: comparisons between scalars must use BOOL modifier");
    refuse(
        "a and 1",
        "1:1: set operator \"and\" not allowed in binary scalar expression",
    );
    refuse(
        "a == on(x) 1",
        "1:1: vector matching only allowed between instant vectors",
    );
    refuse(
        "a or on(x) group_left b",
        "1:1: no grouping allowed for \"or\" operation",
    );
    refuse(
        "a and fill(1) b",
        "1:1: filling in missing series not allowed for set operators",
    );
    refuse(
        "1 + fill(1) b",
        "1:1: filling in missing series only allowed between instant vectors",
    );
    refuse(
        "a{x=\"y\"} + on(l) group_left(k, l) b",
        "1:10: label \"l\" must not occur in ON and GROUP clause at once",
    );
    refuse(
        "a + \"text\"",
        "1:5: binary expression must contain only scalar and instant vector types",
    );
    refuse(
        "a[5m] + b",
        "1:1: binary expression must contain only scalar and instant vector types",
    );
}

#[test]
fn selectors() {
    check("up", "up");
    check("job:up:rate5m", "job:up:rate5m");
    check("up{b=\"2\", a!~'x.*',}", "up{a!~\"x.*\",b=\"2\"}");
    check(
        "{\"ünïcode\", \"strange label\"=~\".+\"}",
        "{\"strange label\"=~\".+\",__name__=\"ünïcode\"}",
    );
    check("{__name__=\"up\"}", "{__name__=\"up\"}");
    check(
        "sum{on=\"x\"} + by + offset{bool=\"y\"}",
        "sum{on=\"x\"} + by + offset{bool=\"y\"}",
    );
    check(
        "start + end + step + range + min_of",
        "start + end + step + range + min_of",
    );
    check("a and and and and", "a and and and and");
    refuse("{}", "1:1: vector selector must contain at least one non-empty matcher");
    refuse(
        "{x=~\".*\", y!=\"z\"}",
        "1:1: vector selector must contain at least one non-empty matcher",
    );
    refuse(
        "up{__name__=\"x\"}",
        "1:1: metric name must not be set twice: \"up\" or \"x\"",
    );
    refuse(
        "up{,}",
        "1:4: unexpected \",\" in label matching, expected identifier or \"}\"",
    );
    refuse(
        "up{a}",
        "1:5: unexpected \"}\" in label matching, expected label matching operator",
    );
    refuse(
        "up{a=b}",
        "1:6: unexpected identifier \"b\" in label matching, expected string",
    );
    refuse(
        "up{a=\"b\" c}",
        "1:10: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
    );
    refuse(
        "up{\"a\" \"b\"}",
        "1:8: unexpected string \"\\\"b\\\"\" in label matching, expected \",\" or \"}\"",
    );
    refuse("up{a:b=\"c\"}", "1:5: unexpected character inside braces: ':'");
    refuse("up{", "1:4: unexpected end of input inside braces");
    refuse("up{a=~\"(\"}", "1:4: error parsing regexp: missing closing ): `(`");
    refuse(
        "up{a=~\"a**\"}",
        "1:4: error parsing regexp: invalid nested repetition operator: `**`",
    );
    check("up{a=~`x{,2}\\d`}", "up{a=~\"x{,2}\\\\d\"}");
    refuse(
        "up{a=\"\\xzz\"}",
        "1:6: illegal character U+007A 'z' in escape sequence",
    );
}

#[test]
fn ranges_offsets_and_times() {
    check("up[5m]", "up[5m]");
    check(
        "up{a=\"b\"}[ 90s ] @ 10 offset -1w",
        "up{a=\"b\"}[1m30s] @ 10.000 offset -1w",
    );
    check("up offset 1h @ start()", "up @ start() offset 1h");
    check("sum(up)[1h:] @ end()", "sum(up)[1h:] @ end()");
    check("rate(up[5m])[1h:30s] offset 5", "rate(up[5m])[1h:30s] offset 5s");
    check("up[300] anchored offset 1m", "up[5m] anchored offset 1m");
    check("up smoothed @ -1.5", "up @ -1.500 smoothed");
    refuse("up[5m", "1:6: unclosed left bracket");
    refuse("up[", "1:4: unexpected end of input in duration expression");
    refuse(
        "up[]",
        "1:4: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
    );
    refuse(
        "up[5m 3]",
        "1:7: unexpected number \"3\" in subquery or range, expected \":\" or \"]\"",
    );
    refuse(
        "up[5m:1m 3]",
        "1:10: unexpected number \"3\" in subquery selector, expected \"]\"",
    );
    refuse(
        "up[5m:*]",
        "1:7: unexpected <op:*> in subquery selector, expected number, duration, step(), range(), or \"]\"",
    );
    refuse("up[0]", "1:4: duration must be greater than 0");
    refuse("up[5y1hs]", "1:4: unknown unit \"hs\" in duration \"5y1hs\"");
    refuse("up[5m][5m]", "1:7: ranges only allowed for vector selectors");
    refuse("up offset 1m[5m]", "1:13: no offset modifiers allowed before range");
    refuse("up @ 1 [5m]", "1:8: no @ modifiers allowed before range");
    refuse(
        "up offset",
        "1:10: unexpected end of input in offset, expected number, duration, step(), or range()",
    );
    refuse("up offset 1m offset 2m", "1:1: offset may not be set multiple times");
    refuse("up @", "1:5: unexpected end of input in @, expected timestamp");
    refuse("up @ start", "1:11: unexpected end of input in @, expected timestamp");
    refuse("up @ Inf", "1:1: timestamp out of bounds for @ modifier: +Inf");
    refuse("up @ 1 @ 2", "1:1: @ <timestamp> may not be set multiple times");
    refuse(
        "(up) @ 1",
        "1:1: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    );
    refuse(
        "1 offset 1m",
        "1:1: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    );
    refuse(
        "up anchored smoothed",
        "1:1: anchored and smoothed modifiers cannot be used together",
    );
    refuse(
        "up[1h:5m] anchored",
        "1:1: anchored modifier is not supported for subqueries",
    );
    refuse(
        "up[1h:5m][1h:5m]",
        "1:1: subquery is only allowed on instant vector, got matrix instead",
    );
}

#[test]
fn duration_expressions() {
    check("up[5m*2]", "up[5m * 2]");
    check("up[(5m)]", "up[(5m)]");
    check(
        "up[step()+1:max_of(range(), 1h)/2]",
        "up[step() + 1:max_of(range(), 1h) / 2]",
    );
    check("up offset -(step() ^ 2)", "up offset -(step() ^ 2)");
    check("up offset (1h - 30m) * 2", "up offset (1h - 30m) * 2");
    check("up offset 1h * 2", "up offset 1h * 2");
    refuse("up[5s/0d]", "1:6: division by zero");
    refuse("up[5s%0]", "1:6: modulo by zero");
    refuse("up[9.5e10]", "1:4: duration out of range");
    refuse("up[5m x]", "1:7: unexpected character: 'x', expected ':'");
    refuse(
        "up[(5m 3)]",
        "1:8: unexpected number \"3\" in subquery or range selector, expected number, duration, step(), or range()",
    );
}

#[test]
fn calls_and_aggregations() {
    check("sum(up)by(a,b)", "sum by (a, b) (up)");
    check("SUM BY () (up)", "sum(up)");
    check("topk without (\"a b\") (3, up)", "topk without (\"a b\") (3, up)");
    check("count_values(\"v\", up)", "count_values(\"v\", up)");
    check("sum by (bool, on, atan2, 'x') (up)", "sum by (bool, on, atan2, x) (up)");
    check("time() + pi()", "time() + pi()");
    check("max_of(1, start())", "max_of(1, start())");
    check("info(up, {a=\"\"})", "info(up, {a=\"\"})");
    refuse("sum up by (a)", "1:5: unexpected identifier \"up\"");
    refuse(
        "sum(up) by a",
        "1:12: unexpected identifier \"a\" in grouping opts, expected \"(\"",
    );
    refuse(
        "sum by (a b) (up)",
        "1:11: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
    );
    refuse(
        "sum by (,) (up)",
        "1:9: unexpected \",\" in grouping opts, expected label",
    );
    refuse("sum by ('') (up)", "1:9: invalid label name for grouping: \"\"");
    refuse("sum by (a) up", "1:12: unexpected identifier \"up\" in aggregation");
    refuse("sum(rate(up x))", "1:13: unexpected identifier \"x\" in aggregation");
    refuse("sum()", "1:1: no arguments for aggregate expression provided");
    refuse(
        "topk(up)",
        "1:1: wrong number of arguments for aggregate expression provided, expected 2, got 1",
    );
    refuse(
        "topk(up, up)",
        "1:6: expected type scalar in aggregation parameter, got instant vector",
    );
    refuse(
        "sum(up[5m])",
        "1:5: expected type instant vector in aggregation expression, got range vector",
    );
    refuse(
        "rate(up)",
        "1:6: expected type range vector in call to function \"rate\", got instant vector",
    );
    refuse(
        "rate(up[5m],)",
        "1:12: trailing commas not allowed in function call args",
    );
    refuse("nope(up)", "1:1: unknown function with name \"nope\"");
    refuse(
        "floor(up, up)",
        "1:1: expected 1 argument(s) in call to \"floor\", got 2",
    );
    refuse(
        "label_join(up)",
        "1:1: expected at least 3 argument(s) in call to \"label_join\", got 1",
    );
    refuse(
        "hour(a, b)",
        "1:1: expected at most 1 argument(s) in call to \"hour\", got 2",
    );
    refuse(
        "info(up, x)",
        "1:10: expected label selectors only, got vector selector instead",
    );
    refuse(
        "-\"x\"",
        "1:1: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
    );
}

#[test]
fn texts_that_are_no_query() {
    refuse("", "unknown position: no expression found in input");
    refuse(" # nothing", "1:1: no expression found in input");
    refuse("1 +\n *", "2:2: unexpected <op:*>");
    refuse("(1))", "1:5: unexpected right parenthesis ')'");
    refuse("((1)", "1:5: unclosed left parenthesis");
    refuse("1 !~ 1", "1:3: unexpected character after '!': '~'");
    refuse("a ! ", "1:3: unexpected character after '!': ' '");
    refuse("a =~ b", "1:3: unexpected character after '=': '~'");
    refuse("0deadbeef", "1:1: bad number or duration syntax: \"0de\"");
    refuse("\"abc", "1:1: unterminated quoted string");
    refuse("`abc", "1:1: unterminated raw string");
    refuse("\"\\c\"", "1:1: unknown escape sequence U+0063 'c'");
    refuse("\"a long text\" x", "1:15: unexpected identifier \"x\"");
    refuse("x \"a long text\"", "1:3: unexpected string \"\\\"a long te\"...");
    refuse("ü", "1:1: unexpected character: 'ü'");
    refuse("\u{fffd}", "1:1: unexpected character: '\u{fffd}'");
}

#[test]
fn experimental_parts_stand_behind_switches() {
    let refuse = |query: &str, expected: &str| {
        let error = parse_expr(query, &ParseOptions::STABLE).unwrap_err();
        assert_eq!(error.message, expected, "{query}");
    };
    refuse("mad_over_time(up[5m])", "function \"mad_over_time\" is not enabled");
    refuse(
        "limitk(1, up)",
        "limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
    );
    refuse("up[5m+1m]", "experimental duration expression is not enabled");
    refuse("up offset step()", "experimental duration expression is not enabled");
    refuse("up anchored", "anchored modifier is experimental and not enabled");
    refuse("a + fill(1) b", "binop fill modifiers are experimental and not enabled");
}

#[test]
fn depth_and_length_are_limited() {
    let deep = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    assert!(printed(&deep("(", ")", 100)).is_ok());
    assert!(printed(&deep("-", "", 100)).is_ok());
    assert!(printed(&vec!["a"; 128].join(" or ")).is_ok());
    for query in [
        deep("(", ")", 100_000),
        deep("-", "", 100_000),
        deep("abs(", ")", 100_000),
        deep("2^", "", 100_000),
        vec!["a"; 100_000].join(" or "),
        format!("a{}", "[5m:]".repeat(100_000)),
        format!("a[{}]", deep("(", ")", 100_000)),
        format!("a[{}]", vec!["5m"; 100_000].join("+")),
        format!("a[{}1]", "-".repeat(100_000)),
        " ".repeat(MAX_QUERY_BYTES + 1),
    ] {
        assert!(printed(&query).is_err());
    }
}

/// Pieces that queries are made of, so that random texts get past the lexer.
const PIECES: &[&str] = &[
    "up",
    "a:b",
    "sum",
    "topk",
    "rate",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "bool",
    "offset",
    "@",
    "start",
    "end",
    "step",
    "range",
    "min_of",
    "fill",
    "anchored",
    "smoothed",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "=~",
    "!=",
    "!~",
    "==",
    "<",
    "</",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "and",
    "or",
    "atan2",
    "1",
    "0x",
    "5m",
    "1e",
    ".",
    "NaN",
    "\"x\"",
    "'",
    "`y`",
    "\\",
    "#",
    "\n",
    " ",
    "ü",
    "\u{0}",
];

proptest! {
    #[test]
    fn random_text_never_panics(text in ".{0,60}") {
        let _ = printed(&text);
    }

    #[test]
    fn random_pieces_never_panic_and_what_parses_prints(indices in prop::collection::vec(0..PIECES.len(), 0..24)) {
        let text: Vec<&str> = indices.iter().map(|i| PIECES[*i]).collect();
        for query in [text.concat(), text.join(" ")] {
            if let Ok(once) = printed(&query) {
                prop_assert_eq!(printed(&once), Ok(once.clone()), "{}", query);
            }
        }
    }
}
