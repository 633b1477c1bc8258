//! Reads templates as Go's `text/template/parse` does, with its texts for errors.

use super::functions;
use super::lex::{Item, Keyword, Kind, Lexer};
use super::number::{Number, unquote};
use super::tree::{Branch, Call, Command, Node, Pipe, Trees, Word, WordKind};
use crate::logql::units::quote;

/// How deep blocks and parentheses may nest.
const MAX_DEPTH: usize = 100;

/// Parses a template of this name. Errors begin with the name.
pub fn parse(name: &str, text: &str) -> Result<Trees, String> {
    let mut parser = Parser {
        name,
        lexer: Lexer::new(text),
        tokens: std::array::from_fn(|_| Item {
            kind: Kind::End,
            at: 0,
            text: "".into(),
            line: 0,
        }),
        peeked: 0,
        variables: vec!["$".to_string()],
        ranges: 0,
        depth: 0,
        action_line: 0,
        trees: Trees::default(),
    };
    parser.template().map_err(|message| {
        let line = parser.tokens[0].line;
        format!("template: {name}:{line}: {message}")
    })?;
    Ok(parser.trees)
}

/// What a list of nodes ended with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    End,
    Else,
}

impl End {
    fn shown(self) -> &'static str {
        match self {
            End::End => "{{end}}",
            End::Else => "{{else}}",
        }
    }
}

enum Found {
    Node(Node),
    End(End),
}

type Result<T, E = String> = std::result::Result<T, E>;

struct Parser<'a> {
    name: &'a str,
    lexer: Lexer<'a>,
    /// Up to three items that were read ahead; the first is the one that errors tell the line of.
    tokens: [Item<'a>; 3],
    peeked: usize,
    variables: Vec<String>,
    ranges: usize,
    depth: usize,
    /// Where the action began, 0 outside.
    action_line: usize,
    trees: Trees,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Item<'a> {
        if self.peeked > 0 {
            self.peeked -= 1;
        } else {
            self.tokens[0] = self.lexer.next_item();
        }
        self.tokens[self.peeked].clone()
    }

    fn peek(&mut self) -> Item<'a> {
        if self.peeked == 0 {
            self.peeked = 1;
            self.tokens[0] = self.lexer.next_item();
        }
        self.tokens[self.peeked - 1].clone()
    }

    fn next_non_space(&mut self) -> Item<'a> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Item<'a> {
        let token = self.next_non_space();
        self.peeked += 1;
        token
    }

    fn unexpected(&self, token: &Item<'_>, context: &str) -> String {
        if token.kind != Kind::Error {
            return format!("unexpected {} in {context}", token.shown());
        }
        let mut message = token.text.clone().into_owned();
        if self.action_line != 0 && self.action_line != token.line {
            // "action" is not said twice.
            let inside = if message.ends_with(" action") { "" } else { " in action" };
            message.push_str(&format!("{inside} started at {}:{}", self.name, self.action_line));
        }
        message
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Item<'a>> {
        let token = self.next_non_space();
        if token.kind != kind {
            return Err(self.unexpected(&token, context));
        }
        Ok(token)
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err("max expression depth exceeded".into());
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn template(&mut self) -> Result<()> {
        let mut root = Vec::new();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::LeftDelimiter {
                let delimiter = self.next();
                if self.next_non_space().kind == Kind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.tokens[1] = delimiter;
                self.peeked = 2;
            }
            match self.text_or_action()? {
                Found::Node(node) => root.push(node),
                Found::End(end) => return Err(format!("unexpected {}", end.shown())),
            }
        }
        let own = self.name.to_string();
        match self.trees.defined.get(&own).is_none_or(|known| is_empty(known)) {
            true => self.trees.root = root,
            false if is_empty(&root) => {
                self.trees.root = self.trees.defined.remove(&own).unwrap_or_default();
            }
            false => return Err(format!("template: multiple definition of template {}", quote(&own))),
        }
        Ok(())
    }

    /// Reads the nodes of a template of its own: without the variables around it.
    fn inner_template(&mut self, name: String, context: &str) -> Result<()> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_string()]);
        let ranges = std::mem::take(&mut self.ranges);
        let action_line = std::mem::take(&mut self.action_line);
        let (nodes, end) = self.list()?;
        if end != End::End {
            return Err(format!("unexpected {} in {context}", end.shown()));
        }
        (self.variables, self.ranges, self.action_line) = (variables, ranges, action_line);
        let known = self.trees.defined.get(&name);
        if known.is_none_or(|known| is_empty(known)) {
            self.trees.defined.insert(name, nodes);
        } else if !is_empty(&nodes) {
            return Err(format!("template: multiple definition of template {}", quote(&name)));
        }
        Ok(())
    }

    fn definition(&mut self) -> Result<()> {
        let context = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        self.expect(Kind::RightDelimiter, context)?;
        self.inner_template(name, context)
    }

    fn list(&mut self) -> Result<(Vec<Node>, End)> {
        self.deeper(|parser| {
            let mut nodes = Vec::new();
            while parser.peek_non_space().kind != Kind::End {
                match parser.text_or_action()? {
                    Found::Node(node) => nodes.push(node),
                    Found::End(end) => return Ok((nodes, end)),
                }
            }
            Err("unexpected EOF".into())
        })
    }

    fn text_or_action(&mut self) -> Result<Found> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Found::Node(Node::Text(token.text.into_owned()))),
            Kind::LeftDelimiter => {
                self.action_line = token.line;
                let found = self.action();
                // An error tells where its action began.
                if found.is_ok() {
                    self.action_line = 0;
                }
                found
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Result<Found> {
        let token = self.next_non_space();
        let Kind::Keyword(keyword) = token.kind else {
            self.peeked += 1;
            let pipe = self.pipeline("command", Kind::RightDelimiter)?;
            return Ok(Found::Node(Node::Action(pipe)));
        };
        Ok(Found::Node(match keyword {
            Keyword::Block => Node::Template(self.block()?),
            Keyword::Break => {
                self.jump("{{break}}")?;
                Node::Break
            }
            Keyword::Continue => {
                self.jump("{{continue}}")?;
                Node::Continue
            }
            Keyword::Else => {
                let next = self.peek_non_space().kind;
                if !matches!(next, Kind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(Kind::RightDelimiter, "else")?;
                }
                return Ok(Found::End(End::Else));
            }
            Keyword::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Found::End(End::End));
            }
            Keyword::If => self.branch(Branch::If)?,
            Keyword::Range => self.branch(Branch::Range)?,
            Keyword::With => self.branch(Branch::With)?,
            Keyword::Template => Node::Template(self.call()?),
            Keyword::Define => {
                // Definitions stand outside of blocks only.
                return Err(self.unexpected(&token, "command"));
            }
        }))
    }

    fn jump(&mut self, name: &str) -> Result<()> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelimiter {
            return Err(self.unexpected(&token, name));
        }
        if self.ranges == 0 {
            return Err(format!("{name} outside {{{{range}}}}"));
        }
        Ok(())
    }

    fn branch(&mut self, branch: Branch) -> Result<Node> {
        let scope = self.variables.len();
        let context = match branch {
            Branch::If => "if",
            Branch::With => "with",
            Branch::Range => "range",
        };
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        self.ranges += usize::from(branch == Branch::Range);
        let (body, end) = self.list()?;
        self.ranges -= usize::from(branch == Branch::Range);
        let mut other = Vec::new();
        if end == End::Else {
            let chained = matches!(
                (branch, self.peek().kind),
                (Branch::If, Kind::Keyword(Keyword::If)) | (Branch::With, Kind::Keyword(Keyword::With))
            );
            if chained {
                self.next();
                other.push(self.deeper(|parser| parser.branch(branch))?);
            } else {
                let (nodes, end) = self.list()?;
                if end != End::End {
                    return Err(format!("expected end; found {}", end.shown()));
                }
                other = nodes;
            }
        }
        self.variables.truncate(scope);
        Ok(Node::Branch(branch, pipe, body, other))
    }

    fn template_name(&mut self, token: &Item<'_>, context: &str) -> Result<String> {
        match token.kind {
            Kind::Quoted | Kind::RawText => unquote(&token.text),
            _ => Err(self.unexpected(token, context)),
        }
    }

    fn block(&mut self) -> Result<Call> {
        let context = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        self.inner_template(name.clone(), context)?;
        Ok(Call {
            at: token.at,
            name,
            pipe: Some(pipe),
        })
    }

    fn call(&mut self) -> Result<Call> {
        let context = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, context)?;
        let mut pipe = None;
        if self.next_non_space().kind != Kind::RightDelimiter {
            self.peeked += 1;
            pipe = Some(self.pipeline(context, Kind::RightDelimiter)?);
        }
        Ok(Call {
            at: token.at,
            name,
            pipe,
        })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe> {
        let mut pipe = Pipe {
            at: self.peek_non_space().at,
            ..Pipe::default()
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawText
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.peeked += 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        if pipe.commands.is_empty() {
            return Err(format!("missing value for {context}"));
        }
        for (stage, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.words.first().map(|word| &word.kind);
            if let Some(WordKind::Bool(_) | WordKind::Dot | WordKind::Nil | WordKind::Number(_) | WordKind::Text(..)) =
                first
            {
                return Err(format!("non executable command in pipeline stage {}", stage + 1));
            }
        }
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<()> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            let after = self.peek();
            let next = self.peek_non_space();
            let declared = |parser: &mut Self, pipe: &mut Pipe| {
                parser.next_non_space();
                pipe.declares.push(variable.text.clone().into_owned());
                parser.variables.push(variable.text.clone().into_owned());
            };
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    declared(self, pipe);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    declared(self, pipe);
                    if context != "range" || pipe.declares.len() >= 2 {
                        return Err(format!("too many declarations in {context}"));
                    }
                    match self.peek_non_space().kind {
                        Kind::Variable | Kind::RightDelimiter | Kind::RightParen => {}
                        _ => return Err("range can only initialize variables".into()),
                    }
                }
                _ if after.kind == Kind::Space => {
                    self.tokens[1] = after;
                    self.tokens[2] = variable;
                    self.peeked = 3;
                    return Ok(());
                }
                _ => {
                    self.tokens[1] = variable;
                    self.peeked = 2;
                    return Ok(());
                }
            }
        }
    }

    fn command(&mut self) -> Result<Command> {
        let mut command = Command {
            at: self.peek_non_space().at,
            words: Vec::new(),
        };
        loop {
            self.peek_non_space();
            if let Some(word) = self.operand()? {
                command.words.push(word);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.peeked += 1,
                Kind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        if command.words.is_empty() {
            return Err("empty command".into());
        }
        Ok(command)
    }

    fn operand(&mut self) -> Result<Option<Word>> {
        let Some(word) = self.term()? else { return Ok(None) };
        let field = self.peek();
        if field.kind != Kind::Field {
            return Ok(Some(word));
        }
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.extend(self.next().text.strip_prefix('.').map(str::to_string));
        }
        let kind = match word.kind {
            WordKind::Field(mut list) => {
                list.append(&mut fields);
                WordKind::Field(list)
            }
            WordKind::Variable(name, mut list) => {
                list.append(&mut fields);
                WordKind::Variable(name, list)
            }
            WordKind::Bool(_) | WordKind::Text(..) | WordKind::Number(_) | WordKind::Nil | WordKind::Dot => {
                return Err(format!("unexpected . after term {}", quote(word.text())));
            }
            _ => WordKind::Chain(Box::new(word), fields),
        };
        Ok(Some(Word { at: field.at, kind }))
    }

    fn term(&mut self) -> Result<Option<Word>> {
        let token = self.next_non_space();
        let kind = match token.kind {
            Kind::Identifier => {
                if !functions::exists(&token.text) {
                    return Err(format!("function {} not defined", quote(token.text.as_bytes())));
                }
                WordKind::Function(token.text.into_owned())
            }
            Kind::Dot => WordKind::Dot,
            Kind::Nil => WordKind::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|name| *name == token.text) {
                    return Err(format!("undefined variable {}", quote(token.text.as_bytes())));
                }
                WordKind::Variable(token.text.into_owned(), Vec::new())
            }
            Kind::Field => WordKind::Field(vec![token.text.trim_start_matches('.').to_string()]),
            Kind::Bool => WordKind::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                WordKind::Number(Number::parse(&token.text, token.kind)?)
            }
            Kind::LeftParen => {
                let pipe = self.deeper(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                // In messages a pipeline stands where its first word stands.
                return Ok(Some(Word {
                    at: pipe.at,
                    kind: WordKind::Pipe(Box::new(pipe)),
                }));
            }
            Kind::Quoted | Kind::RawText => {
                let text = unquote(&token.text)?;
                WordKind::Text(token.text.into_owned(), text)
            }
            _ => {
                self.peeked += 1;
                return Ok(None);
            }
        };
        Ok(Some(Word { at: token.at, kind }))
    }
}

/// Whether nothing but blanks would be printed.
fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(text) => text.trim().is_empty(),
        _ => false,
    })
}
