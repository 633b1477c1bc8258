//! A parsed template, and the text of its parts in messages.

use std::collections::BTreeMap;

use super::number::Number;

/// Nodes of the template itself and of those it defines, by name.
#[derive(Debug, Default)]
pub struct Trees {
    /// The template itself.
    pub root: Vec<Node>,
    /// `define` and `block`.
    pub defined: BTreeMap<String, Vec<Node>>,
}

/// A part of a template.
#[derive(Debug)]
pub enum Node {
    /// Text as it stands.
    Text(String),
    /// A pipeline whose value is printed.
    Action(Pipe),
    /// A block that depends on a pipeline, and what stands behind its `else`.
    Branch(Branch, Pipe, Vec<Node>, Vec<Node>),
    /// Another template.
    Template(Call),
    /// `break`
    Break,
    /// `continue`
    Continue,
}

/// Kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// `if`
    If,
    /// `with`
    With,
    /// `range`
    Range,
}

/// `{{ template "name" pipeline }}`
#[derive(Debug)]
pub struct Call {
    /// Where the name stands.
    pub at: usize,
    /// The template.
    pub name: String,
    /// What becomes its dot.
    pub pipe: Option<Pipe>,
}

/// Commands, each of which gets the value of the one before.
#[derive(Debug, Default)]
pub struct Pipe {
    /// Where it begins, in bytes.
    pub at: usize,
    /// Variables that get the value.
    pub declares: Vec<String>,
    /// Whether these are there already.
    pub assigns: bool,
    /// At least one.
    pub commands: Vec<Command>,
}

/// A function or value with arguments.
#[derive(Debug)]
pub struct Command {
    /// Where it begins, in bytes.
    pub at: usize,
    /// At least one.
    pub words: Vec<Word>,
}

/// An operand.
#[derive(Debug)]
pub struct Word {
    /// Where messages say that it stands, in bytes: behind a chain of fields it is the second field, as in Go.
    pub at: usize,
    /// What it is.
    pub kind: WordKind,
}

/// Kinds of operands.
#[derive(Debug)]
pub enum WordKind {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// A text, as written and unquoted.
    Text(String, String),
    /// A number.
    Number(Number),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a`: the name with its sign, and fields.
    Variable(String, Vec<String>),
    /// A function's name.
    Function(String),
    /// A pipeline in parentheses.
    Pipe(Box<Pipe>),
    /// Fields of a value.
    Chain(Box<Word>, Vec<String>),
}

fn push_fields(out: &mut String, fields: &[String]) {
    for field in fields {
        out.push('.');
        out.push_str(field);
    }
}

impl Pipe {
    /// As messages show it.
    pub fn push_text(&self, out: &mut String) {
        if !self.declares.is_empty() {
            out.push_str(&self.declares.join(", "));
            out.push_str(if self.assigns { " = " } else { " := " });
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                out.push_str(" | ");
            }
            command.push_text(out);
        }
    }
}

impl Command {
    /// As messages show it.
    pub fn push_text(&self, out: &mut String) {
        for (i, word) in self.words.iter().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            word.push_parenthesized(out);
        }
    }
}

impl Call {
    /// As messages show it.
    pub fn push_text(&self, out: &mut String) {
        out.push_str("{{template ");
        out.push_str(&crate::logql::units::quote(&self.name));
        if let Some(pipe) = &self.pipe {
            out.push(' ');
            pipe.push_text(out);
        }
        out.push_str("}}");
    }
}

impl Word {
    fn push_parenthesized(&self, out: &mut String) {
        let is_pipe = matches!(self.kind, WordKind::Pipe(_));
        if is_pipe {
            out.push('(');
        }
        self.push_text(out);
        if is_pipe {
            out.push(')');
        }
    }

    /// As messages show it; a pipeline without its parentheses.
    pub fn push_text(&self, out: &mut String) {
        match &self.kind {
            WordKind::Dot => out.push('.'),
            WordKind::Nil => out.push_str("nil"),
            WordKind::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            WordKind::Text(raw, _) => out.push_str(raw),
            WordKind::Number(number) => out.push_str(&number.text),
            WordKind::Field(fields) => push_fields(out, fields),
            WordKind::Variable(name, fields) => {
                out.push_str(name);
                push_fields(out, fields);
            }
            WordKind::Function(name) => out.push_str(name),
            WordKind::Pipe(pipe) => pipe.push_text(out),
            WordKind::Chain(base, fields) => {
                base.push_parenthesized(out);
                push_fields(out, fields);
            }
        }
    }

    /// [`Word::push_text`] as a text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.push_text(&mut out);
        out
    }
}
