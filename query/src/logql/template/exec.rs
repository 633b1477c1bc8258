//! Runs templates on the labels of a line.

use super::functions::{self, Call};
use super::parse::{Branch, Command, Node, Pipeline, Word, WordKind, command_text, word_text};
use super::value::Value;

/// Most bytes that one line may become.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Most loop passes of one line.
const MAX_ITERATIONS: usize = 100_000;

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
    /// The labels.
    pub labels: &'a dyn LabelSource,
    /// `__line__`
    pub line: &'a [u8],
    /// `__timestamp__`, nanoseconds.
    pub time_ns: i64,
}

/// A value, or the labels themselves, which are copied only where the whole map is used.
#[derive(Clone, Debug)]
enum Operand {
    Labels,
    Value(Value),
}

/// How a block ended.
enum Flow {
    Done,
    Break,
    Continue,
}

/// A running template.
pub struct Execution<'a> {
    input: &'a Input<'a>,
    out: &'a mut Vec<u8>,
    variables: Vec<(String, Operand)>,
    iterations: usize,
}

impl<'a> Execution<'a> {
    /// A run that appends to `out`.
    pub fn new(input: &'a Input<'a>, out: &'a mut Vec<u8>) -> Self {
        Execution {
            input,
            out,
            variables: vec![("$".to_string(), Operand::Labels)],
            iterations: 0,
        }
    }

    /// Runs the whole template.
    pub fn run(&mut self, nodes: &[Node]) -> Result<(), String> {
        self.block(nodes, &Operand::Labels).map(|_| ())
    }

    fn fail(&self, at: usize, context: &str, message: &str) -> String {
        let before = &self.input.text[..at.min(self.input.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        let name = self.input.name;
        format!("template: {name}:{line}:{column}: executing \"{name}\" at <{context}>: {message}")
    }

    fn block(&mut self, nodes: &[Node], dot: &Operand) -> Result<Flow, String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.extend_from_slice(text.as_bytes()),
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.declares.is_empty() {
                        self.print(value);
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
                Node::Branch(branch, pipeline, body, other) => {
                    let scope = self.variables.len();
                    let flow = match branch {
                        Branch::Range => self.range(pipeline, body, other, dot)?,
                        _ => self.conditional(*branch, pipeline, body, other, dot)?,
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
        pipeline: &Pipeline,
        body: &[Node],
        other: &[Node],
        dot: &Operand,
    ) -> Result<Flow, String> {
        let value = self.pipeline(pipeline, dot)?;
        let holds = match &value {
            Operand::Labels => true,
            Operand::Value(value) => value.is_true(),
        };
        match (holds, branch) {
            (true, Branch::With) => self.block(body, &value),
            (true, _) => self.block(body, dot),
            (false, _) => self.block(other, dot),
        }
    }

    fn range(&mut self, pipeline: &Pipeline, body: &[Node], other: &[Node], dot: &Operand) -> Result<Flow, String> {
        let mut inner = pipeline.clone();
        let names = std::mem::take(&mut inner.declares);
        let value = self.value_of(&inner, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::List(list) => list
                .into_iter()
                .enumerate()
                .map(|(i, v)| (Value::Int(i as i64), v))
                .collect(),
            Value::Map(map) => map.into_iter().map(|(k, v)| (Value::text(&k), v)).collect(),
            Value::Int(n) => (0..n.clamp(0, MAX_ITERATIONS as i64))
                .map(|i| (Value::Int(i), Value::Int(i)))
                .collect(),
            Value::Nil => Vec::new(),
            other => {
                let context = pipeline.commands.first();
                let (at, text) = context.map_or((0, String::new()), |c| (c.at, command_text(c)));
                let mut shown = Vec::new();
                other.print(&mut shown);
                let shown = String::from_utf8_lossy(&shown).into_owned();
                return Err(self.fail(at, &text, &format!("range can't iterate over {shown}")));
            }
        };
        if items.is_empty() {
            return self.block(other, dot);
        }
        for (key, item) in items {
            self.iterations += 1;
            if self.iterations > MAX_ITERATIONS {
                return Err(format!("template loops more than {MAX_ITERATIONS} times"));
            }
            let scope = self.variables.len();
            match names.as_slice() {
                [name] => self.variables.push((name.clone(), Operand::Value(item.clone()))),
                [index, name, ..] => {
                    self.variables.push((index.clone(), Operand::Value(key)));
                    self.variables.push((name.clone(), Operand::Value(item.clone())));
                }
                [] => {}
            }
            let flow = self.block(body, &Operand::Value(item))?;
            self.variables.truncate(scope);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::Done)
    }

    fn print(&mut self, value: Operand) {
        match value {
            Operand::Labels => self.input.labels.all().print(self.out),
            // What is missing prints as nothing said, like Go's zero value of an interface.
            Operand::Value(Value::Nil) => self.out.extend_from_slice(b"<no value>"),
            Operand::Value(value) => value.print(self.out),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Operand) -> Result<Operand, String> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.unwrap_or(Operand::Value(Value::Nil));
        for name in &pipeline.declares {
            let slot = self.variables.iter_mut().rev().find(|(n, _)| n == name);
            match slot {
                Some((_, slot)) if pipeline.assigns => *slot = value.clone(),
                _ => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn value_of(&mut self, pipeline: &Pipeline, dot: &Operand) -> Result<Value, String> {
        Ok(match self.pipeline(pipeline, dot)? {
            Operand::Labels => self.input.labels.all(),
            Operand::Value(value) => value,
        })
    }

    fn command(&mut self, command: &Command, dot: &Operand, last: Option<Operand>) -> Result<Operand, String> {
        let Some((first, arguments)) = command.words.split_first() else {
            return Ok(Operand::Value(Value::Nil));
        };
        if let WordKind::Function(name) = &first.kind {
            return self.call(name, command, arguments, dot, last).map(Operand::Value);
        }
        if !arguments.is_empty() || last.is_some() {
            let message = format!("can't give argument to non-function {}", word_text(first));
            return Err(self.fail(command.at, &command_text(command), &message));
        }
        self.operand(first, dot)
    }

    fn operand(&mut self, word: &Word, dot: &Operand) -> Result<Operand, String> {
        Ok(match &word.kind {
            WordKind::Dot => dot.clone(),
            WordKind::Nil => return Err(self.fail(word.at, "nil", "nil is not a command")),
            WordKind::Field(fields) => self.fields(dot.clone(), fields, word)?,
            WordKind::Variable(name, fields) => {
                let found = self
                    .variables
                    .iter()
                    .rev()
                    .find(|(n, _)| n == name)
                    .map(|(_, v)| v.clone());
                self.fields(found.unwrap_or(Operand::Value(Value::Nil)), fields, word)?
            }
            WordKind::Group(pipeline, fields) => {
                let value = self.pipeline(pipeline, dot)?;
                self.fields(value, fields, word)?
            }
            WordKind::Function(name) => {
                let command = Command {
                    at: word.at,
                    words: vec![word.clone()],
                };
                Operand::Value(self.call(name, &command, &[], dot, None)?)
            }
            WordKind::Text(_, text) => Operand::Value(Value::text(text)),
            WordKind::Number(text) => Operand::Value(self.number(word, text)?),
            WordKind::Bool(b) => Operand::Value(Value::Bool(*b)),
        })
    }

    fn number(&self, word: &Word, text: &str) -> Result<Value, String> {
        if let Ok(n) = text.replace('_', "").parse::<i64>() {
            return Ok(Value::Int(n));
        }
        let lower = text.to_ascii_lowercase();
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if let Some(digits) = lower.strip_prefix(prefix)
                && let Ok(n) = i64::from_str_radix(digits, radix)
            {
                return Ok(Value::Int(n));
            }
        }
        crate::logql::units::parse_float(text)
            .map(Value::Float)
            .map_err(|_| self.fail(word.at, text, &format!("bad number syntax: {text:?}")))
    }

    fn fields(&self, base: Operand, fields: &[String], word: &Word) -> Result<Operand, String> {
        let mut value = base;
        for field in fields {
            value = Operand::Value(match value {
                Operand::Labels => Value::text(self.input.labels.label(field).unwrap_or_default()),
                Operand::Value(Value::Map(mut map)) => map.remove(field).unwrap_or(Value::Nil),
                Operand::Value(Value::Nil) => {
                    let message = format!("nil pointer evaluating interface {{}}.{field}");
                    return Err(self.fail(word.at, &word_text(word), &message));
                }
                Operand::Value(other) => {
                    let message = format!("can't evaluate field {field} in type {}", other.type_name());
                    return Err(self.fail(word.at, &word_text(word), &message));
                }
            });
        }
        Ok(value)
    }

    fn call(
        &mut self,
        name: &str,
        command: &Command,
        arguments: &[Word],
        dot: &Operand,
        last: Option<Operand>,
    ) -> Result<Value, String> {
        match name {
            "__line__" => return Ok(Value::Text(self.input.line.to_vec())),
            "__timestamp__" => return Ok(Value::Time(self.input.time_ns)),
            "and" | "or" => return self.logic(name == "or", command, arguments, dot, last),
            _ => {}
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        let kinds = functions::parameters(name);
        for (i, argument) in arguments.iter().enumerate() {
            let kind = kinds.kind(i);
            if let Some(expected) = kind.refuses_literal(&argument.kind) {
                let text = word_text(argument);
                return Err(self.fail(argument.at, &text, &format!("expected {expected}; found {text}")));
            }
            let operand = match argument.kind {
                WordKind::Nil => Operand::Value(Value::Nil),
                _ => self.operand(argument, dot)?,
            };
            let value = self.resolve(operand);
            if let Some(message) = kind.refuses(&value) {
                return Err(self.fail(argument.at, &word_text(argument), &message));
            }
            values.push(value);
        }
        if let Some(last) = last {
            let value = self.resolve(last);
            if let Some(message) = kinds.kind(values.len()).refuses(&value) {
                return Err(self.fail(command.at, &command_text(command), &message));
            }
            values.push(value);
        }
        let text = command_text(command);
        if let Some(message) = kinds.wrong_count(name, values.len()) {
            return Err(self.fail(command.at, &text, &message));
        }
        let call = Call {
            name,
            arguments: values,
            now_ns: self.input.time_ns,
        };
        functions::call(call)
            .map_err(|message| self.fail(command.at, &text, &format!("error calling {name}: {message}")))
    }

    fn resolve(&self, operand: Operand) -> Value {
        match operand {
            Operand::Labels => self.input.labels.all(),
            Operand::Value(value) => value,
        }
    }

    /// `and` and `or` evaluate no further than they must.
    fn logic(
        &mut self,
        stop_on: bool,
        command: &Command,
        arguments: &[Word],
        dot: &Operand,
        last: Option<Operand>,
    ) -> Result<Value, String> {
        let mut result = None;
        for argument in arguments {
            let operand = self.operand(argument, dot)?;
            let value = self.resolve(operand);
            if value.is_true() == stop_on {
                return Ok(value);
            }
            result = Some(value);
        }
        if let Some(last) = last {
            result = Some(self.resolve(last));
        }
        let name = if stop_on { "or" } else { "and" };
        result.ok_or_else(|| {
            let message = format!("wrong number of args for {name}: want at least 1 got 0");
            self.fail(command.at, &command_text(command), &message)
        })
    }
}
