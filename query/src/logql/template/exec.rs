//! Runs templates on the labels of a line, as Go's `text/template` does (`exec.go`), with its texts for failures.
//!
//! Go remembers the part of the template that it looked at last and names it in every message; [`At`] is that part.

use super::printf;
use super::tree::{Branch, Call, Command, Node, Pipe, Trees, Word};
use super::value::Value;

/// Most bytes that one line may become.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Most loop passes and calls of templates for one line.
const MAX_PASSES: usize = 100_000;
/// How deep templates may call each other.
const MAX_CALLS: usize = 100;

/// Where labels come from.
pub trait LabelSource {
    /// The value of a label.
    fn label(&self, name: &str) -> Option<&str>;

    /// All labels, for `{{ . }}`.
    fn all(&self) -> Value;
}

/// What a template runs on.
pub struct Input<'a> {
    /// The name in messages: `line` or `label`.
    pub name: &'static str,
    /// The template, for places in messages.
    pub text: &'a str,
    /// What it was parsed to.
    pub trees: &'a Trees,
    /// The labels.
    pub labels: &'a dyn LabelSource,
    /// `__line__`
    pub line: &'a [u8],
    /// `__timestamp__`, nanoseconds.
    pub time_ns: i64,
}

/// A value on its way.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// The labels themselves, which are copied only where the whole map is used.
    Labels,
    /// A value whose type is known.
    Value(Value),
    /// An element of JSON's maps and lists: to Go an `interface {}` that holds the value.
    Element(Value),
}

impl Operand {
    pub(super) const NONE: Operand = Operand::Value(Value::Nil);

    pub(super) fn is_true(&self) -> bool {
        match self {
            Operand::Labels => true,
            Operand::Value(value) | Operand::Element(value) => value.is_true(),
        }
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Operand::Labels => "map[string]string",
            Operand::Value(value) => value.type_name(),
            Operand::Element(_) => "interface {}",
        }
    }
}

/// The part of the template that was looked at last.
#[derive(Clone, Copy)]
pub(super) enum At<'t> {
    Start,
    Pipe(&'t Pipe),
    Command(&'t Command),
    Word(&'t Word),
    Call(&'t Call),
}

/// How a block ended.
enum Flow {
    Done,
    Break,
    Continue,
}

/// A running template.
pub struct Execution<'a, 't> {
    pub(super) input: &'a Input<'t>,
    out: &'a mut Vec<u8>,
    /// The template that runs: the whole, or one that it defines.
    name: &'t str,
    pub(super) variables: Vec<(&'t str, Operand)>,
    pub(super) at: At<'t>,
    passes: usize,
    calls: usize,
}

pub(super) type Result<T> = std::result::Result<T, String>;

impl<'a, 't> Execution<'a, 't> {
    /// A run that appends to `out`.
    pub fn new(input: &'a Input<'t>, out: &'a mut Vec<u8>) -> Self {
        Execution {
            input,
            out,
            name: input.name,
            variables: vec![("$", Operand::Labels)],
            at: At::Start,
            passes: 0,
            calls: 0,
        }
    }

    /// Runs the whole template.
    pub fn run(&mut self) -> Result<()> {
        let trees: &'t Trees = self.input.trees;
        self.block(&trees.root, &Operand::Labels).map(|_| ())
    }

    pub(super) fn fail(&self, message: impl std::fmt::Display) -> String {
        let (name, mut context) = (self.name, String::new());
        let at = match self.at {
            At::Start => return format!("template: {name}: {message}"),
            At::Pipe(pipe) => {
                pipe.push_text(&mut context);
                pipe.at
            }
            At::Command(command) => {
                command.push_text(&mut context);
                command.at
            }
            At::Word(word) => {
                word.push_text(&mut context);
                word.at
            }
            At::Call(call) => {
                call.push_text(&mut context);
                call.at
            }
        };
        let before = self.input.text.get(..at).unwrap_or(self.input.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        let place = format!("{}:{line}:{column}", self.input.name);
        format!("template: {place}: executing \"{name}\" at <{context}>: {message}")
    }

    fn count_pass(&mut self) -> Result<()> {
        self.passes += 1;
        if self.passes > MAX_PASSES {
            return Err(format!("template loops more than {MAX_PASSES} times"));
        }
        Ok(())
    }

    fn block(&mut self, nodes: &'t [Node], dot: &Operand) -> Result<Flow> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.extend_from_slice(text.as_bytes()),
                Node::Action(pipe) => {
                    let value = self.pipeline(pipe, dot)?;
                    if pipe.declares.is_empty() {
                        self.print(value);
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
                Node::Template(call) => self.call_template(call, dot)?,
                Node::Branch(branch, pipe, body, other) => {
                    let scope = self.variables.len();
                    let flow = match branch {
                        Branch::Range => self.range(pipe, body, other, dot)?,
                        _ => self.conditional(*branch, pipe, body, other, dot)?,
                    };
                    self.variables.truncate(scope);
                    if !matches!(flow, Flow::Done) {
                        return Ok(flow);
                    }
                }
            }
            if self.out.len() > MAX_OUTPUT_BYTES {
                return Err(format!("template output exceeds {MAX_OUTPUT_BYTES} bytes"));
            }
        }
        Ok(Flow::Done)
    }

    fn conditional(
        &mut self,
        branch: Branch,
        pipe: &'t Pipe,
        body: &'t [Node],
        other: &'t [Node],
        dot: &Operand,
    ) -> Result<Flow> {
        let value = self.pipeline(pipe, dot)?;
        match (value.is_true(), branch) {
            (true, Branch::With) => self.block(body, &value),
            (true, _) => self.block(body, dot),
            (false, _) => self.block(other, dot),
        }
    }

    fn range(&mut self, pipe: &'t Pipe, body: &'t [Node], other: &'t [Node], dot: &Operand) -> Result<Flow> {
        let value = self.pipeline(pipe, dot)?;
        let (all_labels, elements_are_texts) = match &value {
            Operand::Labels => (self.input.labels.all(), true),
            Operand::Value(value) | Operand::Element(value) => (value.clone(), false),
        };
        let element = |value| match elements_are_texts {
            true => Operand::Value(value),
            false => Operand::Element(value),
        };
        let items: Vec<(Operand, Operand)> = match all_labels {
            Value::List(list) => {
                let numbered = list.into_iter().enumerate();
                numbered
                    .map(|(i, v)| (Operand::Value(Value::Int(i as i64)), element(v)))
                    .collect()
            }
            Value::Map(map) => map
                .into_iter()
                .map(|(k, v)| (Operand::Value(Value::text(&k)), element(v)))
                .collect(),
            number @ (Value::Int(_) | Value::Long(_) | Value::Byte(_)) if pipe.declares.len() > 1 => {
                let shown = printf::shown(&number);
                return Err(self.fail(format!("can't use {shown} to iterate over more than one variable")));
            }
            // One more than the most passes, so that these are counted.
            number @ (Value::Int(_) | Value::Long(_) | Value::Byte(_)) => {
                (0..number.to_int().clamp(0, MAX_PASSES as i64 + 1))
                    .map(|i| (Operand::NONE, Operand::Value(Value::Int(i))))
                    .collect()
            }
            Value::Nil => Vec::new(),
            other => {
                let shown = printf::shown(&other);
                return Err(self.fail(format!("range can't iterate over {shown}")));
            }
        };
        if items.is_empty() {
            return self.block(other, dot);
        }
        let scope = self.variables.len();
        for (index, item) in items {
            self.count_pass()?;
            match (pipe.declares.as_slice(), pipe.assigns) {
                ([], _) => {}
                ([name], true) => self.assign(name, item.clone())?,
                ([first, second, ..], true) => {
                    self.assign(first, index)?;
                    self.assign(second, item.clone())?;
                }
                (names, false) => {
                    // The pipeline has declared them already.
                    let values = [index, item.clone()];
                    let wanted = &values[2 - names.len().min(2)..];
                    let slots = self.variables.iter_mut().rev().zip(wanted.iter().rev());
                    slots.for_each(|((_, slot), value)| *slot = value.clone());
                }
            }
            let flow = self.block(body, &item)?;
            self.variables.truncate(scope);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::Done)
    }

    fn call_template(&mut self, call: &'t Call, dot: &Operand) -> Result<()> {
        self.at = At::Call(call);
        self.count_pass()?;
        let trees: &'t Trees = self.input.trees;
        let nodes: &'t [Node] = match trees.defined.get(&call.name) {
            Some(nodes) => nodes,
            None if call.name == self.input.name => &trees.root,
            None => {
                let name = crate::logql::units::quote(&call.name);
                return Err(self.fail(format!("template {name} not defined")));
            }
        };
        if self.calls == MAX_CALLS {
            return Err(self.fail(format!("exceeded maximum template depth ({MAX_CALLS})")));
        }
        let dot = match &call.pipe {
            Some(pipe) => self.pipeline(pipe, dot)?,
            None => Operand::NONE,
        };
        let (name, at) = (self.name, self.at);
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        self.name = &call.name;
        self.calls += 1;
        self.block(nodes, &dot)?;
        self.calls -= 1;
        (self.name, self.at, self.variables) = (name, at, variables);
        Ok(())
    }

    fn print(&mut self, value: Operand) {
        match value {
            Operand::Labels => self.input.labels.all().print(self.out),
            Operand::Value(Value::Nil) | Operand::Element(Value::Nil) => self.out.extend_from_slice(b"<no value>"),
            Operand::Value(value) | Operand::Element(value) => value.print(self.out),
        }
    }
}
