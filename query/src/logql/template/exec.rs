//! Runs templates on the labels of a line, as Go's `text/template` does (`exec.go`), with its texts for failures.
//!
//! Go remembers the part of the template that it looked at last and names it in every message; [`At`] is that part.

use super::functions::{self, Call as FunctionCall, Kind};
use super::tree::{Branch, Call, Command, Node, Pipe, Trees, Word, WordKind};
use super::value::Value;
use super::{methods, printf};

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
enum Operand {
    /// The labels themselves, which are copied only where the whole map is used.
    Labels,
    /// A value whose type is known.
    Value(Value),
    /// An element of JSON's maps and lists: to Go an `interface {}` that holds the value.
    Element(Value),
}

impl Operand {
    const NONE: Operand = Operand::Value(Value::Nil);

    fn is_true(&self) -> bool {
        match self {
            Operand::Labels => true,
            Operand::Value(value) | Operand::Element(value) => value.is_true(),
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Operand::Labels => "map[string]string",
            Operand::Value(value) => value.type_name(),
            Operand::Element(_) => "interface {}",
        }
    }
}

/// The part of the template that was looked at last.
#[derive(Clone, Copy)]
enum At<'t> {
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
    input: &'a Input<'t>,
    out: &'a mut Vec<u8>,
    /// The template that runs: the whole, or one that it defines.
    name: &'t str,
    variables: Vec<(&'t str, Operand)>,
    at: At<'t>,
    passes: usize,
    calls: usize,
}

type Result<T> = std::result::Result<T, String>;

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

    fn fail(&self, message: impl std::fmt::Display) -> String {
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

    fn assign(&mut self, name: &str, value: Operand) -> Result<()> {
        let slot = self.variables.iter_mut().rev().find(|(n, _)| *n == name);
        match slot {
            Some((_, slot)) => *slot = value,
            None => return Err(self.fail(format!("undefined variable: {name}"))),
        }
        Ok(())
    }

    fn pipeline(&mut self, pipe: &'t Pipe, dot: &Operand) -> Result<Operand> {
        self.at = At::Pipe(pipe);
        let mut last = None;
        for command in &pipe.commands {
            last = Some(match self.command(command, dot, last)? {
                Operand::Element(value) => Operand::Value(value),
                value => value,
            });
        }
        let value = last.unwrap_or(Operand::NONE);
        for name in &pipe.declares {
            match pipe.assigns {
                true => self.assign(name, value.clone())?,
                false => self.variables.push((name, value.clone())),
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'t Command, dot: &Operand, last: Option<Operand>) -> Result<Operand> {
        let Some((first, arguments)) = command.words.split_first() else {
            return Ok(Operand::NONE);
        };
        let given = !arguments.is_empty() || last.is_some();
        match &first.kind {
            WordKind::Field(fields) => {
                self.at = At::Word(first);
                self.fields(dot.clone(), fields, first, arguments, last, dot)
            }
            WordKind::Chain(base, fields) => self.chain(base, fields, first, arguments, last, dot),
            WordKind::Function(name) => {
                self.at = At::Word(first);
                self.call(name, At::Command(command), arguments, last, dot)
            }
            WordKind::Pipe(pipe) => {
                self.refuse_arguments(first, given)?;
                self.pipeline(pipe, dot)
            }
            WordKind::Variable(name, fields) => {
                self.at = At::Word(first);
                let value = self.variable(name)?;
                if fields.is_empty() {
                    self.refuse_arguments(first, given)?;
                    return Ok(value);
                }
                self.fields(value, fields, first, arguments, last, dot)
            }
            _ => {
                self.at = At::Word(first);
                self.refuse_arguments(first, given)?;
                match &first.kind {
                    WordKind::Dot => Ok(dot.clone()),
                    WordKind::Nil => Err(self.fail("nil is not a command")),
                    _ => self.constant(first).map(Operand::Value),
                }
            }
        }
    }

    fn refuse_arguments(&self, first: &Word, given: bool) -> Result<()> {
        if !given {
            return Ok(());
        }
        Err(self.fail(format!("can't give argument to non-function {}", first.text())))
    }

    fn variable(&self, name: &str) -> Result<Operand> {
        let found = self.variables.iter().rev().find(|(n, _)| *n == name);
        match found {
            Some((_, value)) => Ok(value.clone()),
            None => Err(self.fail(format!("undefined variable: {name}"))),
        }
    }

    /// A literal where anything may stand.
    fn constant(&mut self, word: &'t Word) -> Result<Value> {
        self.at = At::Word(word);
        match &word.kind {
            WordKind::Bool(b) => Ok(Value::Bool(*b)),
            WordKind::Text(_, text) => Ok(Value::text(text)),
            WordKind::Number(number) => match (number.float, number.int) {
                (Some(float), _) if number.is_float_constant() => Ok(Value::Float(float)),
                (_, Some(int)) => Ok(Value::Int(int)),
                _ => Err(self.fail(format!("{} overflows int", number.text))),
            },
            _ => Ok(Value::Nil),
        }
    }

    fn chain(
        &mut self,
        base: &'t Word,
        fields: &'t [String],
        word: &'t Word,
        arguments: &'t [Word],
        last: Option<Operand>,
        dot: &Operand,
    ) -> Result<Operand> {
        self.at = At::Word(word);
        let value = self.any_argument(base, dot)?;
        self.fields(value, fields, word, arguments, last, dot)
    }

    /// Fields of a value, one after the other; the last may be a method with arguments.
    fn fields(
        &mut self,
        mut value: Operand,
        fields: &'t [String],
        word: &'t Word,
        arguments: &'t [Word],
        last: Option<Operand>,
        dot: &Operand,
    ) -> Result<Operand> {
        let Some((final_field, first)) = fields.split_last() else {
            return Ok(value);
        };
        for field in first {
            value = self.field(value, field, word, &[], None, dot)?;
        }
        self.field(value, final_field, word, arguments, last, dot)
    }

    fn field(
        &mut self,
        value: Operand,
        name: &str,
        word: &'t Word,
        arguments: &'t [Word],
        last: Option<Operand>,
        dot: &Operand,
    ) -> Result<Operand> {
        let given = !arguments.is_empty() || last.is_some();
        let type_name = value.type_name();
        match value {
            Operand::Value(Value::Nil) => Ok(Operand::NONE),
            Operand::Element(Value::Nil) => Err(self.fail(format!("nil pointer evaluating {type_name}.{name}"))),
            Operand::Labels | Operand::Value(Value::Map(_)) | Operand::Element(Value::Map(_)) if given => {
                Err(self.fail(format!("{name} is not a method but has arguments")))
            }
            Operand::Labels => {
                let text = self.input.labels.label(name).unwrap_or_default();
                Ok(Operand::Value(Value::text(text)))
            }
            Operand::Value(Value::Map(mut map)) | Operand::Element(Value::Map(mut map)) => {
                Ok(Operand::Element(map.remove(name).unwrap_or(Value::Nil)))
            }
            Operand::Value(Value::Time(time)) | Operand::Element(Value::Time(time)) if methods::exists(name) => {
                let parameters = methods::parameters(name);
                let values = self.arguments(name, parameters, arguments, last, dot)?;
                let result = methods::call(&time, name, &values).map_err(|message| {
                    self.at = At::Word(word);
                    self.fail(format!("error calling {name}: {message}"))
                });
                result.map(Operand::Value)
            }
            _ => Err(self.fail(format!("can't evaluate field {name} in type {type_name}"))),
        }
    }

    /// Calls a function; where it fails, `whole` is named.
    fn call(
        &mut self,
        name: &str,
        whole: At<'t>,
        arguments: &'t [Word],
        last: Option<Operand>,
        dot: &Operand,
    ) -> Result<Operand> {
        match name {
            "__line__" | "__timestamp__" if arguments.is_empty() && last.is_none() => {
                return Ok(Operand::Value(match name {
                    "__line__" => Value::Text(self.input.line.to_vec()),
                    _ => Value::Time(super::time::Time::utc_of_ns(self.input.time_ns)),
                }));
            }
            _ => {}
        }
        let parameters = functions::parameters(name);
        if let "and" | "or" = name {
            parameters
                .wrong_count(name, arguments.len(), last.is_some())
                .map_or(Ok(()), |message| Err(self.fail(message)))?;
            let mut value = Operand::NONE;
            for word in arguments {
                value = self.any_argument(word, dot)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let values = self.arguments(name, parameters, arguments, last, dot)?;
        let call = FunctionCall {
            name,
            arguments: values,
            callee: arguments.first().map_or_else(String::new, Word::text),
            now_ns: self.input.time_ns,
        };
        functions::call(call).map(Operand::Value).map_err(|message| {
            self.at = whole;
            self.fail(format!("error calling {name}: {message}"))
        })
    }

    fn arguments(
        &mut self,
        name: &str,
        parameters: functions::Parameters,
        arguments: &'t [Word],
        last: Option<Operand>,
        dot: &Operand,
    ) -> Result<Vec<Value>> {
        if let Some(message) = parameters.wrong_count(name, arguments.len(), last.is_some()) {
            return Err(self.fail(message));
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for (i, word) in arguments.iter().enumerate() {
            values.push(self.argument(word, parameters.kind(i), dot)?);
        }
        if let Some(last) = last {
            values.push(self.checked(last, parameters.kind(arguments.len()))?);
        }
        Ok(values)
    }

    /// An argument of a parameter that takes anything.
    fn any_argument(&mut self, word: &'t Word, dot: &Operand) -> Result<Operand> {
        self.at = At::Word(word);
        match &word.kind {
            WordKind::Dot => Ok(dot.clone()),
            WordKind::Field(fields) => self.fields(dot.clone(), fields, word, &[], None, dot),
            WordKind::Variable(name, fields) => {
                let value = self.variable(name)?;
                self.fields(value, fields, word, &[], None, dot)
            }
            WordKind::Pipe(pipe) => self.pipeline(pipe, dot),
            WordKind::Function(name) => self.call(name, At::Word(word), &[], None, dot),
            WordKind::Chain(base, fields) => self.chain(base, fields, word, &[], None, dot),
            WordKind::Nil => Ok(Operand::NONE),
            _ => self.constant(word).map(Operand::Value),
        }
    }

    /// An argument of a parameter of some kind.
    fn argument(&mut self, word: &'t Word, kind: Kind, dot: &Operand) -> Result<Value> {
        match &word.kind {
            WordKind::Nil if kind != Kind::Any => {
                self.at = At::Word(word);
                Err(self.fail(format!("cannot assign nil to {}", kind.name())))
            }
            WordKind::Bool(_) | WordKind::Text(..) | WordKind::Number(_) => {
                self.at = At::Word(word);
                let value = match (&word.kind, kind) {
                    (_, Kind::Any) => return self.constant(word),
                    (_, Kind::Time) => None,
                    (WordKind::Text(_, text), Kind::Text) => Some(Value::text(text)),
                    (WordKind::Number(number), Kind::Int) => number.int.map(Value::Int),
                    (WordKind::Number(number), Kind::Float) => number.float.map(Value::Float),
                    _ => None,
                };
                value.ok_or_else(|| {
                    let found = word.text();
                    self.fail(match kind {
                        Kind::Text => format!("expected string; found {found}"),
                        Kind::Int => format!("expected integer; found {found}"),
                        Kind::Float => format!("expected float; found {found}"),
                        _ => format!("can't handle {found} for arg of type {}", kind.name()),
                    })
                })
            }
            _ => {
                let value = self.any_argument(word, dot)?;
                self.checked(value, kind)
            }
        }
    }

    /// A value as a parameter takes it.
    fn checked(&mut self, value: Operand, kind: Kind) -> Result<Value> {
        let expected = kind.name();
        let wrong = |got: &str| format!("wrong type for value; expected {expected}; got {got}");
        let message = match value {
            Operand::Labels if kind == Kind::Any => return Ok(self.input.labels.all()),
            Operand::Labels => wrong("map[string]string"),
            Operand::Value(value) | Operand::Element(value) if kind.takes(&value) => return Ok(value),
            Operand::Value(Value::Nil) => format!("invalid value; expected {expected}"),
            Operand::Element(Value::Nil) => wrong("interface {}"),
            Operand::Value(value) | Operand::Element(value) => wrong(value.type_name()),
        };
        Err(self.fail(message))
    }
}
