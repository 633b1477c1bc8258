//! What the pipelines of a template come to: commands, variables, fields, and calls with their arguments
//! (Go's `text/template/exec.go`, from `evalPipeline` on).

use super::exec::{At, Execution, Operand, Result};
use super::functions::{self, Call as FunctionCall, Kind};
use super::methods;
use super::tree::{Command, Pipe, Word, WordKind};
use super::value::Value;

impl<'t> Execution<'_, 't> {
    pub(super) fn assign(&mut self, name: &str, value: Operand) -> Result<()> {
        let slot = self.variables.iter_mut().rev().find(|(n, _)| *n == name);
        match slot {
            Some((_, slot)) => *slot = value,
            None => return Err(self.fail(format!("undefined variable: {name}"))),
        }
        Ok(())
    }

    pub(super) fn pipeline(&mut self, pipe: &'t Pipe, dot: &Operand) -> Result<Operand> {
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
