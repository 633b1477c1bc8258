//! Compaction, retention and what is told about them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{NOW_S, Server};

const NOW_NS: i64 = NOW_S * 1_000_000_000;
const DAY_NS: i64 = 24 * 3_600_000_000_000;

async fn push(server: &Server, app: &str, at: i64, line: &str) {
    let body = json!({"streams": [{"stream": {"app": app}, "values": [[at.to_string(), line]]}]});
    server.push_json(body.to_string()).await.expect(204);
}

/// The lines of all streams of the last 100 days.
async fn lines(server: &Server) -> Vec<String> {
    let (start, end) = ((NOW_NS - 100 * DAY_NS).to_string(), (NOW_NS + DAY_NS).to_string());
    let params = [
        ("query", r#"{app=~".+"}"#),
        ("start", &start),
        ("end", &end),
        ("limit", "100"),
    ];
    let answer = server.get("/loki/api/v1/query_range", &params).await.expect(200).json();
    let streams = answer["data"]["result"].as_array().unwrap().clone();
    let values = streams.iter().flat_map(|s| s["values"].as_array().unwrap().clone());
    let mut lines: Vec<String> = values.map(|v| v[1].as_str().unwrap().to_string()).collect();
    lines.sort();
    lines
}

async fn compact(server: &Server) -> Value {
    let answer = server
        .post("/garner/api/v1/admin/compact", &[], "")
        .await
        .expect(200)
        .json();
    assert_eq!(answer["status"], "success");
    answer["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_answers_what_it_did_and_what_is_left() {
    let server = Server::new().await;
    for (flush, line) in ["one", "two", "three"].into_iter().enumerate() {
        push(&server, "web", NOW_NS - 5 * 3_600_000_000_000 + flush as i64, line).await;
        push(&server, "web", NOW_NS - 5 * 3_600_000_000_000, "again").await;
        server.post("/flush", &[], "").await.expect(204);
    }
    let before = lines(&server).await;
    assert_eq!(before, ["again", "one", "three", "two"]);
    let status = async || {
        let answer = server.get("/garner/api/v1/admin/upkeep", &[]).await.expect(200).json();
        answer["data"].clone()
    };
    assert_eq!(status().await["planned"]["merges"], 1);
    assert_eq!(status().await["levels"][0]["segments"], 3);
    let done = compact(&server).await;
    let merged = &done["compaction"];
    assert_eq!(
        (&merged["merges"], &merged["segmentsIn"], &merged["segmentsOut"]),
        (&json!(1), &json!(3), &json!(1))
    );
    assert_eq!((&merged["rowsIn"], &merged["rowsOut"]), (&json!(6), &json!(4)));
    assert_eq!((&done["failures"], &done["lastFailure"]), (&json!(0), &Value::Null));
    assert_eq!(lines(&server).await, before);
    assert_eq!(compact(&server).await["compaction"]["merges"], 0, "nothing is left");
    let now = status().await;
    assert_eq!(now["planned"]["merges"], 0);
    assert_eq!(now["levels"][1]["segments"], 1);
    assert_eq!(
        (&now["objects"]["live"], &now["objects"]["pendingDeletion"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(now["quarantined"], json!([]));
    assert_eq!(now["sinceStart"]["done"]["compaction"]["rowsOut"], 4);
    server.fixture.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(compact(&server).await["deletion"]["objectsDeleted"], 3);
    assert_eq!(lines(&server).await, before);
    let metrics = server.get("/metrics", &[]).await.expect(200).text;
    for sample in [
        "garner_storage_compaction_merges_total 1",
        "garner_storage_objects_deleted_total 3",
        "garner_storage_quarantined_segments 0",
        r#"garner_storage_segments_by_level{level="1"} 1"#,
        "garner_storage_retention_segments_dropped_total 0",
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_not_answered_and_goes() {
    let server = Server::with("[limits]\nretention_period = \"10d\"\n").await;
    for (days, line) in [(20, "old"), (9, "young")] {
        push(&server, "web", NOW_NS - days * DAY_NS, line).await;
    }
    assert_eq!(lines(&server).await, ["young"]);
    server.post("/flush", &[], "").await.expect(204);
    assert_eq!(lines(&server).await, ["young"]);
    let done = compact(&server).await;
    assert_eq!(
        (&done["retention"]["segmentsDropped"], &done["retention"]["rowsDropped"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(lines(&server).await, ["young"]);
    server.fixture.clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(lines(&server).await, [] as [&str; 0]);
}
