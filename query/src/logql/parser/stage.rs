//! One pipeline stage.

use super::cursor::Cursor;
use super::label_filter::{label_filter, match_op, matcher_after_name};
use crate::goregex;
use crate::logql::ast::{
    Extraction, LabelFormat, LabelFormatValue, LineFilter, LineOp, LineOperand, LogfmtFlags, NamedMatcher, Stage,
};
use crate::logql::error::ParseError;
use crate::logql::line_pattern;
use crate::logql::token::Token;

/// The line filter operator at the cursor, if one is there.
pub(super) fn line_op(cursor: &Cursor) -> Result<Option<LineOp>, ParseError> {
    Ok(match cursor.peek()? {
        Token::Fixed("|=") => Some(LineOp::Contains),
        Token::Fixed("!=") => Some(LineOp::NotContains),
        Token::Fixed("|~") => Some(LineOp::Matches),
        Token::Fixed("!~") => Some(LineOp::NotMatches),
        Token::Fixed("|>") => Some(LineOp::Pattern),
        Token::Fixed("!>") => Some(LineOp::NotPattern),
        _ => None,
    })
}

/// All adjacent line filters; the cursor stands on the first one's operator.
pub(super) fn line_filters(cursor: &mut Cursor) -> Result<Stage, ParseError> {
    let mut filters = Vec::new();
    while let Some(op) = line_op(cursor)? {
        cursor.advance();
        let mut operands = vec![operand(cursor)?];
        while cursor.accept("or")? {
            operands.push(operand(cursor)?);
        }
        if op.is_negative() {
            // "neither a nor b" is two filters.
            filters.extend(operands.into_iter().map(|o| LineFilter { op, operands: vec![o] }));
        } else {
            filters.push(LineFilter { op, operands });
        }
    }
    Ok(Stage::LineFilters(filters))
}

fn operand(cursor: &mut Cursor) -> Result<LineOperand, ParseError> {
    if *cursor.peek()? == Token::Function("ip") {
        cursor.advance();
        cursor.expect("(")?;
        let text = cursor.string(&["STRING"])?;
        cursor.expect(")")?;
        return Ok(LineOperand { ip: true, text });
    }
    let text = cursor.string(&["STRING", "ip"])?;
    Ok(LineOperand { ip: false, text })
}

/// The stage after a `|` that the cursor has passed.
pub(super) fn stage(cursor: &mut Cursor) -> Result<Stage, ParseError> {
    let word = match cursor.peek()? {
        Token::Identifier(_) | Token::Fixed("(") => return Ok(Stage::LabelFilter(label_filter(cursor, 0)?)),
        Token::Fixed(word) => *word,
        _ => return Err(cursor.unexpected(&[])),
    };
    if !matches!(
        word,
        "json"
            | "logfmt"
            | "regexp"
            | "pattern"
            | "unpack"
            | "line_format"
            | "label_format"
            | "decolorize"
            | "drop"
            | "keep"
    ) {
        return Err(cursor.unexpected(&[]));
    }
    cursor.advance();
    Ok(match word {
        "json" => match extractions(cursor)? {
            list if list.is_empty() => Stage::Json,
            list => Stage::JsonExpressions(list),
        },
        "logfmt" => {
            let flags = logfmt_flags(cursor)?;
            match extractions(cursor)? {
                list if list.is_empty() => Stage::Logfmt(flags),
                list => Stage::LogfmtExpressions(flags, list),
            }
        }
        "regexp" => {
            let pattern = cursor.string(&["STRING"])?;
            goregex::check_captures(&pattern).map_err(|e| ParseError::new(format!("invalid regexp parser: {e}")))?;
            Stage::Regexp(pattern)
        }
        "pattern" => {
            let pattern = cursor.string(&["STRING"])?;
            line_pattern::LinePattern::parser(&pattern)
                .map_err(|e| ParseError::new(format!("invalid pattern parser: {e}")))?;
            Stage::Pattern(pattern)
        }
        "unpack" => Stage::Unpack,
        "line_format" => Stage::LineFormat(cursor.string(&["STRING"])?),
        "label_format" => Stage::LabelFormat(label_formats(cursor)?),
        "decolorize" => Stage::Decolorize,
        "drop" => Stage::Drop(named_matchers(cursor)?),
        _ => Stage::Keep(named_matchers(cursor)?),
    })
}

fn logfmt_flags(cursor: &mut Cursor) -> Result<LogfmtFlags, ParseError> {
    let mut flags = LogfmtFlags::default();
    while let Token::FunctionFlag(flag) = cursor.peek()? {
        match flag.as_str() {
            "--strict" => flags.strict = true,
            _ => flags.keep_empty = true,
        }
        cursor.advance();
    }
    Ok(flags)
}

fn extractions(cursor: &mut Cursor) -> Result<Vec<Extraction>, ParseError> {
    let mut list = Vec::new();
    if !matches!(cursor.peek()?, Token::Identifier(_)) {
        return Ok(list);
    }
    loop {
        let label = cursor.identifier(&["IDENTIFIER"])?;
        let expression = if cursor.accept("=")? {
            cursor.string(&["STRING"])?
        } else {
            label.clone()
        };
        list.push(Extraction { label, expression });
        if !cursor.accept(",")? {
            return Ok(list);
        }
    }
}

fn label_formats(cursor: &mut Cursor) -> Result<Vec<LabelFormat>, ParseError> {
    let mut list = Vec::new();
    loop {
        let label = cursor.identifier(&["IDENTIFIER"])?;
        cursor.expect("=")?;
        let value = match cursor.peek()? {
            Token::Identifier(source) => LabelFormatValue::Rename(source.clone()),
            Token::String(template) => LabelFormatValue::Template(template.clone()),
            _ => return Err(cursor.unexpected(&["IDENTIFIER", "STRING"])),
        };
        cursor.advance();
        list.push(LabelFormat { label, value });
        if !cursor.accept(",")? {
            return Ok(list);
        }
    }
}

fn named_matchers(cursor: &mut Cursor) -> Result<Vec<NamedMatcher>, ParseError> {
    let mut list = Vec::new();
    loop {
        let name = cursor.identifier(&["IDENTIFIER"])?;
        list.push(match match_op(cursor)? {
            Some(_) => NamedMatcher::Matcher(matcher_after_name(cursor, name)?),
            None => NamedMatcher::Name(name),
        });
        if !cursor.accept(",")? {
            return Ok(list);
        }
    }
}
