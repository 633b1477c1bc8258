//! The texts that the fuzz target keeps (`fuzz/corpus/promql`), each tried once.

use std::path::Path;

use crate::promql::fuzzing::check;

#[test]
fn the_corpus_of_the_fuzz_target_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/promql");
    let mut texts = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        check(&String::from_utf8_lossy(&bytes));
        texts += 1;
    }
    assert!(texts > 20, "{texts}");
}
