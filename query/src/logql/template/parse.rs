//! Reads templates: the part of Go's `text/template` that works on one value, without definitions.

use super::functions;

/// A piece of a template.
#[derive(Debug, Clone)]
pub enum Node {
    /// Text that stands for itself.
    Text(String),
    /// `{{ pipeline }}`
    Action(Pipeline),
    /// `{{ if … }}`, `{{ with … }}`, `{{ range … }}`
    Branch(Branch, Pipeline, Vec<Node>, Vec<Node>),
    /// `{{ break }}`
    Break,
    /// `{{ continue }}`
    Continue,
}

/// Kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// `if`
    If,
    /// `with`
    With,
    /// `range`
    Range,
}

/// Commands, each fed with the result of the one before, and the variables that get the result.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    /// `$x :=` (or two of `range`).
    pub declares: Vec<String>,
    /// `$x =`
    pub assigns: bool,
    /// The commands.
    pub commands: Vec<Command>,
}

/// An operand, or a function with its arguments.
#[derive(Debug, Clone)]
pub struct Command {
    /// Byte offset in the template.
    pub at: usize,
    /// At least one.
    pub words: Vec<Word>,
}

/// An operand.
#[derive(Debug, Clone)]
pub struct Word {
    /// Byte offset in the template.
    pub at: usize,
    /// What it is.
    pub kind: WordKind,
}

/// What an operand is.
#[derive(Debug, Clone)]
pub enum WordKind {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a`
    Variable(String, Vec<String>),
    /// `(pipeline).a`
    Group(Box<Pipeline>, Vec<String>),
    /// A function's name.
    Function(String),
    /// A quoted text, as written and unquoted.
    Text(String, String),
    /// A number as written.
    Number(String),
    /// `true`, `false`
    Bool(bool),
}

/// Deepest nesting of blocks and parentheses.
const MAX_DEPTH: usize = 50;

/// Parses a template; the error is Go's without the leading "template: ".
pub fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        variables: vec!["$".to_string()],
    };
    let (nodes, end) = parser.block()?;
    match end {
        End::Input => Ok(nodes),
        End::Else(_) => Err(parser.error("unexpected {{else}}")),
        End::Closed => Err(parser.error("unexpected {{end}}")),
    }
}

enum End {
    Input,
    Closed,
    /// `else`, with the `if` or `with` that follows it.
    Else(Option<Branch>),
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    variables: Vec<String>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, message: &str) -> String {
        let line = self.text[..self.at].matches('\n').count() + 1;
        format!("{line}: {message}")
    }

    /// Nodes up to the end of the block.
    fn block(&mut self) -> Result<(Vec<Node>, End), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("template is nested too deeply"));
        }
        let mut nodes = Vec::new();
        let mut trim_next = false;
        let end = loop {
            let rest = self.rest();
            let open = rest.find("{{");
            let mut literal = &rest[..open.unwrap_or(rest.len())];
            if trim_next {
                literal = literal.trim_start();
            }
            let Some(open) = open else {
                self.at = self.text.len();
                push_text(&mut nodes, literal);
                break End::Input;
            };
            self.at += open + 2;
            let trims = self
                .rest()
                .strip_prefix('-')
                .is_some_and(|r| r.starts_with(char::is_whitespace));
            if trims {
                literal = literal.trim_end();
                self.at += 1;
            }
            push_text(&mut nodes, literal);
            if let Some(found) = self.action(&mut nodes)? {
                // A trim marker at the end of `{{ end -}}` belongs to what follows.
                break found;
            }
            trim_next = self.text[..self.at].ends_with("-}}");
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<Option<End>, String> {
        let comment = self.rest().trim_start();
        if comment.starts_with("/*") {
            let close = comment.find("*/").ok_or_else(|| self.error("unclosed comment"))?;
            self.at = self.text.len() - comment.len() + close + 2;
            self.close()?;
            return Ok(None);
        }
        self.skip_blank();
        let word_end = self
            .rest()
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(self.rest().len());
        let word = &self.rest()[..word_end];
        match word {
            "if" | "with" | "range" => {
                self.at += word_end;
                let branch = branch_of(word);
                nodes.push(self.branch(branch)?);
                Ok(None)
            }
            "else" => {
                self.at += word_end;
                self.skip_blank();
                let next = ["if", "with"].into_iter().find(|w| {
                    self.rest()
                        .strip_prefix(w)
                        .is_some_and(|r| r.starts_with(char::is_whitespace))
                });
                if let Some(next) = next {
                    self.at += next.len();
                    return Ok(Some(End::Else(Some(branch_of(next)))));
                }
                self.close()?;
                Ok(Some(End::Else(None)))
            }
            "end" => {
                self.at += word_end;
                self.close()?;
                Ok(Some(End::Closed))
            }
            "break" | "continue" => {
                self.at += word_end;
                self.close()?;
                nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                Ok(None)
            }
            "define" | "block" | "template" => Err(self.error(&format!("unexpected <{word}> in command"))),
            _ => {
                let pipeline = self.pipeline(false, "command")?;
                self.close()?;
                nodes.push(Node::Action(pipeline));
                Ok(None)
            }
        }
    }

    fn branch(&mut self, branch: Branch) -> Result<Node, String> {
        let scope = self.variables.len();
        let name = match branch {
            Branch::If => "if",
            Branch::With => "with",
            Branch::Range => "range",
        };
        let pipeline = self.pipeline(branch == Branch::Range, name)?;
        self.close()?;
        let (body, end) = self.block()?;
        let mut other = Vec::new();
        match end {
            End::Input => return Err(self.error("unexpected EOF")),
            End::Closed => {}
            End::Else(Some(next)) => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(self.error("template is nested too deeply"));
                }
                other.push(self.branch(next)?);
                self.depth -= 1;
            }
            End::Else(None) => {
                let (nodes, end) = self.block()?;
                match end {
                    End::Closed => other = nodes,
                    End::Input => return Err(self.error("unexpected EOF")),
                    End::Else(_) => return Err(self.error("expected end; found {{else}}")),
                }
            }
        }
        self.variables.truncate(scope);
        Ok(Node::Branch(branch, pipeline, body, other))
    }

    fn skip_blank(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// `}}`, with a trim marker perhaps.
    fn close(&mut self) -> Result<(), String> {
        self.skip_blank();
        let rest = self.rest();
        let len = if rest.starts_with("-}}") {
            3
        } else if rest.starts_with("}}") {
            2
        } else if rest.is_empty() {
            return Err(self.error("unclosed action"));
        } else {
            let token: String = rest.chars().take_while(|c| !c.is_whitespace()).take(10).collect();
            return Err(self.error(&format!("unexpected {token:?} in operand")));
        };
        self.at += len;
        Ok(())
    }

    fn at_end_of_pipeline(&self) -> bool {
        let rest = self.rest();
        rest.starts_with("}}") || rest.starts_with("-}}") || rest.starts_with(')') || rest.is_empty()
    }

    fn pipeline(&mut self, in_range: bool, context: &str) -> Result<Pipeline, String> {
        let mut pipeline = Pipeline::default();
        self.skip_blank();
        self.declarations(&mut pipeline, in_range)?;
        loop {
            self.skip_blank();
            if self.at_end_of_pipeline() {
                if self.rest().is_empty() {
                    return Err(self.error("unclosed action"));
                }
                if pipeline.commands.is_empty() {
                    return Err(self.error(&format!("missing value for {context}")));
                }
                break;
            }
            let command = self.command()?;
            pipeline.commands.push(command);
            self.skip_blank();
            if self.rest().starts_with('|') {
                self.at += 1;
                self.skip_blank();
                if self.at_end_of_pipeline() {
                    return Err(self.error(&format!("missing value for {context}")));
                }
            }
        }
        if !pipeline.assigns {
            self.variables.extend(pipeline.declares.iter().cloned());
        }
        Ok(pipeline)
    }

    fn declarations(&mut self, pipeline: &mut Pipeline, in_range: bool) -> Result<(), String> {
        let start = self.at;
        let mut names = Vec::new();
        while self.rest().starts_with('$') {
            let len = 1 + self.rest()[1..]
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(0);
            names.push(self.rest()[..len].to_string());
            self.at += len;
            self.skip_blank();
            if self.rest().starts_with(":=") {
                self.at += 2;
                pipeline.declares = names;
                return Ok(());
            }
            if self.rest().starts_with('=') {
                self.at += 1;
                pipeline.declares = names;
                pipeline.assigns = true;
                return Ok(());
            }
            if in_range && names.len() == 1 && self.rest().starts_with(',') {
                self.at += 1;
                self.skip_blank();
                continue;
            }
            break;
        }
        self.at = start;
        Ok(())
    }

    fn command(&mut self) -> Result<Command, String> {
        let at = self.at;
        let mut words = Vec::new();
        loop {
            words.push(self.word()?);
            let blank = self.rest().starts_with(char::is_whitespace);
            self.skip_blank();
            if self.at_end_of_pipeline() || self.rest().starts_with('|') {
                break;
            }
            if !blank {
                return Err(self.error(&format!("unexpected {:?} in operand", &first_char(self.rest()))));
            }
        }
        Ok(Command { at, words })
    }

    fn fields(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(after) = self.rest().strip_prefix('.') {
            let len = after
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            if len == 0 {
                break;
            }
            out.push(after[..len].to_string());
            self.at += 1 + len;
        }
        out
    }

    fn word(&mut self) -> Result<Word, String> {
        let at = self.at;
        let rest = self.rest();
        let kind = match first_char(rest) {
            "(" => {
                self.at += 1;
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(self.error("template is nested too deeply"));
                }
                let inner = self.pipeline(false, "parenthesized pipeline")?;
                self.depth -= 1;
                self.skip_blank();
                if !self.rest().starts_with(')') {
                    return Err(self.error("unclosed left paren"));
                }
                self.at += 1;
                WordKind::Group(Box::new(inner), self.fields())
            }
            "." => {
                let fields = self.fields();
                if fields.is_empty() {
                    if rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
                        self.number()
                    } else {
                        self.at += 1;
                        WordKind::Dot
                    }
                } else if fields[0].starts_with(|c: char| c.is_ascii_digit()) {
                    self.at = at;
                    self.number()
                } else {
                    WordKind::Field(fields)
                }
            }
            "$" => {
                let len = 1 + rest[1..]
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len() - 1);
                let name = rest[..len].to_string();
                if !self.variables.contains(&name) {
                    return Err(self.error(&format!("undefined variable {name:?}")));
                }
                self.at += len;
                WordKind::Variable(name, self.fields())
            }
            "\"" | "`" => self.quoted()?,
            c if c.starts_with(|c: char| c.is_ascii_digit()) || c == "-" || c == "+" => self.number(),
            c if c.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                let len = rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                let name = &rest[..len];
                self.at += len;
                match name {
                    "true" | "false" => WordKind::Bool(name == "true"),
                    "nil" => WordKind::Nil,
                    _ if functions::exists(name) => WordKind::Function(name.to_string()),
                    _ => return Err(self.error(&format!("function {name:?} not defined"))),
                }
            }
            other => return Err(self.error(&format!("unexpected {other:?} in command"))),
        };
        Ok(Word { at, kind })
    }

    fn number(&mut self) -> WordKind {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with(['-', '+']));
        let len = rest[sign..]
            .find(|c: char| !c.is_alphanumeric() && c != '.' && c != '_')
            .unwrap_or(rest.len() - sign);
        self.at += (sign + len).max(1);
        WordKind::Number(rest[..(sign + len).max(1)].to_string())
    }

    fn quoted(&mut self) -> Result<WordKind, String> {
        let rest = self.rest();
        let end = if let Some(body) = rest.strip_prefix('`') {
            body.find('`').map(|i| i + 2)
        } else {
            let mut escaped = false;
            rest.char_indices().skip(1).find_map(|(i, c)| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends.then_some(i + 1)
            })
        };
        let Some(end) = end else {
            let kind = if rest.starts_with('`') {
                "unterminated raw quoted string"
            } else {
                "unterminated quoted string"
            };
            return Err(self.error(kind));
        };
        let raw = &rest[..end];
        let text = crate::logql::lexer::unquote(raw).ok_or_else(|| self.error("invalid syntax"))?;
        self.at += end;
        Ok(WordKind::Text(raw.to_string(), text))
    }
}

fn branch_of(word: &str) -> Branch {
    match word {
        "if" => Branch::If,
        "with" => Branch::With,
        _ => Branch::Range,
    }
}

fn first_char(text: &str) -> &str {
    &text[..text.chars().next().map_or(0, char::len_utf8)]
}

fn push_text(nodes: &mut Vec<Node>, text: &str) {
    if !text.is_empty() {
        nodes.push(Node::Text(text.to_string()));
    }
}

/// The text of a command in messages.
pub fn command_text(command: &Command) -> String {
    command.words.iter().map(word_text).collect::<Vec<_>>().join(" ")
}

/// The text of an operand in messages.
pub fn word_text(word: &Word) -> String {
    let fields = |list: &[String]| list.iter().map(|f| format!(".{f}")).collect::<String>();
    match &word.kind {
        WordKind::Dot => ".".into(),
        WordKind::Nil => "nil".into(),
        WordKind::Field(list) => fields(list),
        WordKind::Variable(name, list) => format!("{name}{}", fields(list)),
        WordKind::Group(pipeline, list) => {
            let commands: Vec<String> = pipeline.commands.iter().map(command_text).collect();
            format!("({}){}", commands.join(" | "), fields(list))
        }
        WordKind::Function(name) => name.clone(),
        WordKind::Text(raw, _) => raw.clone(),
        WordKind::Number(text) => text.clone(),
        WordKind::Bool(b) => b.to_string(),
    }
}
