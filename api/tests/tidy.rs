//! The house rules that a compiler does not hold: who may import whom, where disk, clock, randomness and network are
//! touched, opening docs, file length. ARCHITECTURE.md draws the picture that this keeps true.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// Lines before its tests from which a file should be looked at for a second noun.
const LONG_LINES: usize = 600;
/// Lines before its tests that no file may have.
const MAX_LINES: usize = 1_000;

/// One source file.
struct Source {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The lines that are code of the program: no tests, no comments. With their numbers from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let body = before_tests(&self.text);
        let lines = body.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn in_folder(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

/// The text up to a test module that stands in the file.
fn before_tests(text: &str) -> &str {
    let mut from = 0;
    while let Some(at) = text[from..].find("#[cfg(test)]") {
        let start = from + at;
        let after: String = text[start..].lines().skip(1).take(3).collect();
        if after.contains("mod ") && after.contains('{') && !after.contains(';') {
            return &text[..start];
        }
        from = start + 1;
    }
    text
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every `.rs` file below these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = workspace();
    let mut open: Vec<PathBuf> = folders
        .iter()
        .map(|folder| root.join(folder))
        .filter(|path| path.exists())
        .collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                found.push(Source {
                    path: name,
                    text: std::fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the sources were not found below {}", root.display());
    found
}

/// The program itself: tests and benchmarks are left out.
fn program() -> Vec<Source> {
    let mut all = sources(&["storage/src", "ingest/src", "query/src", "api/src"]);
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/") || path.contains("/testing");
    all.retain(|source| !is_test(&source.path));
    all
}

/// Fails with each line of code in which one of `words` stands, where `concerns` holds for the file.
fn forbid(rule: &str, words: &[&str], concerns: impl Fn(&Source) -> bool) {
    let mut found = Vec::new();
    for source in program().iter().filter(|source| concerns(source)) {
        for (number, line) in source.code() {
            if let Some(word) = words.iter().find(|word| contains_word(line, word)) {
                found.push(format!("{}:{number}: {word}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{rule}\n{}", found.join("\n"));
}

/// Whether `word` stands in `line` and is not the middle of a longer name.
fn contains_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let inside = before.is_some_and(is_name) || after.is_some_and(is_name) && word.ends_with(is_name);
        !inside
    })
}

#[test]
fn crates_import_along_the_arrows() {
    let upward = [
        ("storage/", &["garner_ingest", "garner_query", "garner_api"][..]),
        ("ingest/", &["garner_query", "garner_api"]),
        ("query/", &["garner_ingest", "garner_api"]),
    ];
    for (folder, words) in upward {
        forbid(&format!("{folder} may not import these crates"), words, |source| {
            source.in_folder(folder)
        });
    }
}

#[test]
fn languages_and_operators_do_not_know_each_other() {
    let promql = ["crate::promql", "super::promql", "promql::"];
    let logql = ["crate::logql", "super::logql", "logql::"];
    forbid("promql/ imports no LogQL", &logql, |source| {
        source.in_folder("query/src/promql/")
    });
    forbid("logql/ imports no PromQL", &promql, |source| {
        source.in_folder("query/src/logql/")
    });
    let both: Vec<&str> = promql.into_iter().chain(logql).collect();
    forbid(
        "operators, functions, plan and vector know no language",
        &both,
        |source| {
            ["operators", "functions", "plan", "vector"]
                .iter()
                .any(|module| source.in_folder(&format!("query/src/{module}/")))
        },
    );
}

#[test]
fn each_layer_keeps_to_its_libraries() {
    forbid(
        "only api speaks HTTP",
        &["axum", "http::", "hyper", "StatusCode"],
        |source| !source.in_folder("api/"),
    );
    forbid(
        "storage and ingest know no DataFusion",
        &["datafusion", "datafusion_common"],
        |source| source.in_folder("storage/") || source.in_folder("ingest/"),
    );
    forbid(
        "the model imports nothing of ours",
        &["crate::head", "crate::scan", "crate::segment"],
        |source| source.in_folder("storage/src/model/"),
    );
}

#[test]
fn the_disk_is_touched_in_one_place() {
    let words = [
        "std::fs",
        "tokio::fs",
        "fs::File",
        "fs::read",
        "fs::write",
        "OpenOptions",
    ];
    forbid("only storage/src/file touches the disk", &words, |source| {
        !source.in_folder("storage/src/file/")
    });
}

#[test]
fn the_network_is_touched_in_two_places() {
    let words = ["reqwest", "TcpStream", "TcpListener", "UdpSocket", "AmazonS3Builder"];
    forbid(
        "only storage/src/object and the server touch the network",
        &words,
        |source| !source.in_folder("storage/src/object/") && !source.in_folder("api/src/server/"),
    );
}

#[test]
fn time_and_randomness_are_handed_in() {
    let clock = ["SystemTime::now", "Utc::now", "Local::now"];
    forbid("only storage/src/clock.rs reads the clock", &clock, |source| {
        source.path != "storage/src/clock.rs"
    });
    let random = [
        "thread_rng",
        "rand::random",
        "rand::rng",
        "from_os_rng",
        "from_entropy",
        "OsRng",
    ];
    forbid(
        "only the start of the server or of a tool draws randomness",
        &random,
        |source| !["api/src/server/lifecycle.rs", "api/src/tools/setup.rs"].contains(&source.path.as_str()),
    );
}

#[test]
fn every_file_opens_with_its_job() {
    let folders = ["storage", "ingest", "query", "api", "compat-tests", "benches"];
    let missing: Vec<String> = sources(&folders)
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(
        missing.is_empty(),
        "the first line must be `//! ` and the file's job:\n{}",
        missing.join("\n")
    );
}

#[test]
fn no_file_is_too_long_to_hold_in_mind() {
    let mut long = Vec::new();
    for source in program() {
        let lines = before_tests(&source.text).lines().count();
        if lines > LONG_LINES {
            long.push((lines, source.path));
        }
    }
    long.sort_by_key(|(lines, _)| std::cmp::Reverse(*lines));
    for (lines, path) in &long {
        eprintln!("{path} has {lines} lines before its tests: look for its second noun");
    }
    let over: Vec<_> = long.iter().filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert!(over.is_empty(), "over {MAX_LINES} lines: {over:?}");
}

#[test]
fn the_rules_themselves_see_what_they_should() {
    assert!(contains_word("use std::fs::File;", "std::fs"));
    assert!(contains_word("let now = SystemTime::now();", "SystemTime::now"));
    assert!(!contains_word("let hyperbola = 1;", "hyper"));
    assert!(!contains_word("use my_axum_like;", "axum"));
    assert!(contains_word("http::StatusCode", "http::"));
    let text = "fn a() {}\n#[cfg(test)]\nmod testing;\nfn b() {}\n#[cfg(test)]\nmod tests {\n fn c() {}\n}\n";
    assert!(before_tests(text).contains("fn b") && !before_tests(text).contains("fn c"));
    let source = Source {
        path: String::new(),
        text: "//! std::fs\nuse std::fs;\n// std::fs\n".to_string(),
    };
    assert_eq!(source.code().map(|(number, _)| number).collect::<Vec<_>>(), [2]);
}
