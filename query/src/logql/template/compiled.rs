//! A template ready to run.

use std::collections::BTreeMap;

use super::exec::{Execution, Input, LabelSource};
use super::parse;
use super::tree::{Command, Node, Pipe, Trees, Word, WordKind};
use super::value::{Map, Value};
use crate::logql::pipeline::Row;

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    name: &'static str,
    text: String,
    trees: Trees,
    fields: Vec<String>,
    single: Option<String>,
}

impl LabelSource for Row {
    fn label(&self, name: &str) -> Option<&str> {
        match name {
            crate::logql::pipeline::ERROR => Some(self.error()),
            crate::logql::pipeline::ERROR_DETAILS => Some(self.error_details()),
            name => self.get(name),
        }
    }

    fn all(&self) -> Value {
        let mut map = BTreeMap::new();
        self.for_each(|_, name, value| {
            map.insert(name.to_string(), Value::text(value));
        });
        Value::Map(Map::labels(map))
    }
}

impl LabelSource for BTreeMap<String, String> {
    fn label(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }

    fn all(&self) -> Value {
        let texts = self.iter().map(|(n, v)| (n.clone(), Value::text(v)));
        Value::Map(Map::labels(texts.collect()))
    }
}

impl Template {
    /// Parses a template; `name` stands in messages.
    pub fn parse(name: &'static str, text: &str) -> Result<Self, String> {
        let trees = parse::parse(name, text)?;
        let mut fields = Vec::new();
        collect_fields(&trees.root, &mut fields);
        trees
            .defined
            .values()
            .for_each(|nodes| collect_fields(nodes, &mut fields));
        let single = match trees.root.as_slice() {
            [Node::Action(pipe)] => single_field(pipe),
            _ => None,
        };
        Ok(Template {
            name,
            text: text.to_string(),
            trees,
            fields,
            single,
        })
    }

    /// The labels it reads.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// The label, where the template is just `{{.label}}`.
    pub fn single_field(&self) -> Option<&str> {
        self.single.as_deref()
    }

    /// Appends the text for a row.
    pub fn execute(&self, row: &Row, time_ns: i64, line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.run(row, time_ns, line, out)
    }

    /// Appends the text for labels.
    pub fn execute_on(
        &self,
        labels: &BTreeMap<String, String>,
        time_ns: i64,
        line: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        self.run(labels, time_ns, line, out)
    }

    fn run(&self, labels: &dyn LabelSource, time_ns: i64, line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let input = Input {
            name: self.name,
            text: &self.text,
            trees: &self.trees,
            labels,
            line,
            time_ns,
        };
        Execution::new(&input, out).run()
    }
}

fn single_field(pipeline: &Pipe) -> Option<String> {
    let [Command { words, .. }] = pipeline.commands.as_slice() else {
        return None;
    };
    match words.as_slice() {
        [word] if pipeline.declares.is_empty() => match &word.kind {
            WordKind::Field(fields) if fields.len() == 1 => fields.first().cloned(),
            _ => None,
        },
        _ => None,
    }
}

fn collect_fields(nodes: &[Node], into: &mut Vec<String>) {
    for node in nodes {
        match node {
            Node::Action(pipeline) => pipeline_fields(pipeline, into),
            Node::Branch(_, pipeline, body, other) => {
                pipeline_fields(pipeline, into);
                collect_fields(body, into);
                collect_fields(other, into);
            }
            Node::Template(call) => call.pipe.iter().for_each(|pipe| pipeline_fields(pipe, into)),
            Node::Text(_) | Node::Break | Node::Continue => {}
        }
    }
}

fn pipeline_fields(pipeline: &Pipe, into: &mut Vec<String>) {
    pipeline
        .commands
        .iter()
        .flat_map(|command| &command.words)
        .for_each(|word| word_fields(word, into));
}

fn word_fields(word: &Word, into: &mut Vec<String>) {
    match &word.kind {
        WordKind::Field(fields) => {
            for field in fields {
                if !into.contains(field) {
                    into.push(field.clone());
                }
            }
        }
        WordKind::Pipe(inner) => pipeline_fields(inner, into),
        WordKind::Chain(base, _) => word_fields(base, into),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> String {
        let labels: BTreeMap<String, String> = [("a", "1"), ("m", "x y")]
            .into_iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect();
        let template = match Template::parse("line", text) {
            Ok(template) => template,
            Err(error) => return format!("!{error}"),
        };
        let mut out = Vec::new();
        match template.execute_on(&labels, 1_000_000_000, b"the line", &mut out) {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(error) => format!("!{error}"),
        }
    }

    #[test]
    fn templates_run_as_in_go() {
        for (text, expected) in [
            ("{{.a}}-{{ .m | upper }}{{.none}}", "1-X Y"),
            (
                "{{ if eq .a \"1\" }}one{{ else if .m }}two{{ else }}none{{ end }}",
                "one",
            ),
            (
                "{{ range $i, $e := fromJson \"[1,2]\" }}{{ $i }}={{ $e }};{{ end }}",
                "0=1;1=2;",
            ),
            ("{{ with .m }}<{{ . }}>{{ end }} {{- \" tight\" -}}  !", "<x y> tight!"),
            ("{{ $x := .a }}{{ $x = \"2\" }}{{ $x }}{{/* no */}}", "2"),
            ("{{ __line__ | trunc 3 }} {{ __timestamp__ | unixEpoch }}", "the 1"),
            ("{{ . }}", "map[a:1 m:x y]"),
            ("{{ (fromJson \"{\\\"k\\\":{\\\"v\\\":1}}\").k.v }}", "1"),
            ("{{ or .none \"d\" }}{{ and .a .m }}{{ not .a }}", "dx yfalse"),
            (
                "{{ lower 5 }}",
                "!template: line:1:9: executing \"line\" at <5>: expected string; found 5",
            ),
            (
                "{{ div .a 0 }}",
                "!template: line:1:3: executing \"line\" at <div .a 0>: error calling div: runtime error: integer divide by zero",
            ),
            ("{{ nosuch }}", "!template: line:1: function \"nosuch\" not defined"),
            ("{{ .a", "!template: line:1: unclosed action"),
            ("{{ .a\n", "!template: line:2: unclosed action started at line:1"),
            ("{{ define \"x\" }}[{{ . }}]{{ end }}{{ template \"x\" .m }}", "[x y]"),
            ("{{ block \"b\" .m }}<{{ . }}>{{ end }}", "<x y>"),
            (
                "{{ template \"no\" }}",
                "!template: line:1:12: executing \"line\" at <{{template \"no\"}}>: template \"no\" not defined",
            ),
            (
                "{{ template \"x\" . }}{{ define \"x\" }}{{ div .a 0 }}{{ end }}",
                "!template: line:1:39: executing \"x\" at <div .a 0>: error calling div: runtime error: integer divide by zero",
            ),
            ("{{ break }}", "!template: line:1: {{break}} outside {{range}}"),
            (
                "{{ range $i, $e := fromJson \"[1,2,3]\" }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ $e }}{{ end }}",
                "13",
            ),
            (
                "{{ (fromJson \"{\\\"a\\\":1}\").a.b }}",
                "!template: line:1:13: executing \"line\" at <\"{\\\"a\\\":1}\">: can't evaluate field b in type interface {}",
            ),
            (
                "{{ trunc (add 1 1) \"abc\" }}",
                "!template: line:1:16: executing \"line\" at <1>: wrong type for value; expected int; got int64",
            ),
            (
                "{{ sub 1 }}",
                "!template: line:1:3: executing \"line\" at <sub>: wrong number of args for sub: want 2 got 1",
            ),
            (
                "{{ upper nil }}",
                "!template: line:1:9: executing \"line\" at <nil>: cannot assign nil to string",
            ),
            (
                "{{ .m .a }}",
                "!template: line:1:3: executing \"line\" at <.m>: m is not a method but has arguments",
            ),
            ("{{ (unixToTime \"1679577215\").Format \"15:04\" }}", "13:13"),
            ("{{ index . \"none\" }}{{ index \"abc\" 1 }}", "98"),
            ("{{ 'a' }} {{ 0x1F }} {{ 017 }} {{ 1e3 }}", "97 31 15 1000"),
            ("{{ 1.2.3 }}", "!template: line:1: unexpected \".3\" in operand"),
            (
                "{{ .a | 5 }}",
                "!template: line:1: non executable command in pipeline stage 2",
            ),
            ("{{ .a) }}", "!template: line:1: unexpected right paren"),
            ("{{ .a\"x\" }}", "!template: line:1: bad character U+0022 '\"'"),
            ("{{ if .a }}", "!template: line:1: unexpected EOF"),
            ("{{ addf 0.1 0.2 }} {{ round 1.25 1 }} {{ add 1 \"x\" }}", "0.3 1.3 1"),
        ] {
            assert_eq!(run(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_template_panics(words in proptest::collection::vec(0usize..WORDS.len(), 0..16)) {
            run(&words.iter().map(|w| WORDS[*w]).collect::<Vec<_>>().join(" "));
        }
    }

    const WORDS: &[&str] = &[
        "{{",
        "}}",
        "{{-",
        "-}}",
        ".a",
        ".",
        "$x",
        ":=",
        "if",
        "range",
        "with",
        "else",
        "end",
        "(",
        ")",
        "|",
        "\"s\"",
        "1",
        "-1",
        "fromJson \"[1]\"",
        "printf \"%d %s\"",
        "substr",
        "trunc",
        "index",
        "slice",
        "len",
        "é",
        "repeat",
        "alignLeft",
        "date",
        "toDate",
        "b64dec",
        "regexReplaceAll",
        "nindent",
        "{{ if .a }}",
        "{{ end }}",
        "{{ range .m }}",
        "break",
    ];
}
