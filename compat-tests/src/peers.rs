//! The real programs beside garner: Prometheus, node_exporter and an S3 server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::http::Client;
use crate::process::{Process, free_port};

const READY_LIMIT: Duration = Duration::from_secs(60);

/// A program on a port of 127.0.0.1.
pub struct Peer {
    /// Its process.
    pub process: Process,
    /// Its port.
    pub port: u16,
}

impl Peer {
    /// A client for it.
    pub fn client(&self) -> Client {
        Client::new(self.port)
    }
}

/// Starts node_exporter.
pub fn node_exporter(folder: &Path) -> Result<Peer> {
    let port = free_port()?;
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut peer = Peer {
        process: Process::start("node_exporter", command, &folder.join("node.log"))?,
        port,
    };
    let client = peer.client();
    peer.process.wait_until(READY_LIMIT, || {
        client.get("/metrics", &[]).is_ok_and(|a| a.status == 200)
    })?;
    Ok(peer)
}

/// Starts a Prometheus that scrapes itself and `exporter` every second and remote-writes to `garner_port`.
pub fn prometheus(folder: &Path, exporter: &Peer, garner_port: u16) -> Result<Peer> {
    let port = free_port()?;
    let config = folder.join("prometheus.yml");
    std::fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s}}\n\
             remote_write: [{{url: 'http://127.0.0.1:{garner_port}/api/v1/write', \
             queue_config: {{batch_send_deadline: 500ms}}}}]\n\
             scrape_configs:\n\
             - {{job_name: prometheus, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
             - {{job_name: node, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}\n",
            exporter.port
        ),
    )?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut peer = Peer {
        process: Process::start("prometheus", command, &folder.join("prometheus.log"))?,
        port,
    };
    let client = peer.client();
    peer.process.wait_until(READY_LIMIT, || {
        client.get("/-/ready", &[]).is_ok_and(|a| a.status == 200)
    })?;
    Ok(peer)
}

/// Access key of the S3 server.
pub const S3_ACCESS_KEY: &str = "garner-test";
/// Secret key of the S3 server.
pub const S3_SECRET_KEY: &str = "garner-test-secret";

/// A real S3 server with one bucket `garner`.
pub struct S3Server {
    /// Its process.
    pub process: Process,
    /// Its S3 port.
    pub port: u16,
    filer: Client,
}

impl S3Server {
    /// Loses all objects whose path begins with `folder/`, behind the back of whoever uses the bucket.
    pub fn lose_folder(&self, folder: &str) -> Result<()> {
        let answer = self
            .filer
            .delete(&format!("/buckets/garner/{folder}"), &[("recursive", "true")])?;
        anyhow::ensure!(answer.status < 300, "{}: {}", answer.status, answer.text());
        Ok(())
    }
}

/// Starts SeaweedFS as an S3 server with one bucket `garner`.
pub fn s3_server(folder: &Path) -> Result<S3Server> {
    let peers: PathBuf = match std::env::var_os("TEST_PEERS_DIR").filter(|d| !d.is_empty()) {
        Some(dir) => dir.into(),
        None => {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
            cache
                .or_else(home)
                .context("neither XDG_CACHE_HOME nor HOME is set")?
                .join("garner-peers")
        }
    };
    let identities = folder.join("s3.json");
    std::fs::write(
        &identities,
        format!(
            r#"{{"identities":[{{"name":"garner","credentials":[{{"accessKey":"{S3_ACCESS_KEY}","secretKey":"{S3_SECRET_KEY}"}}],"actions":["Admin","Read","List","Tagging","Write"]}}]}}"#
        ),
    )?;
    let [port, master, volume, filer] = [free_port()?, free_port()?, free_port()?, free_port()?];
    let data = folder.join("seaweedfs");
    std::fs::create_dir_all(&data)?;
    let mut command = Command::new(peers.join("weed"));
    command
        .args([
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            "-filer",
            "-volume.max=20",
            // On by default, each on one port for all.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ])
        .arg("-master.volumeSizeLimitMB=64")
        .arg(format!("-dir={}", data.display()))
        .arg(format!("-s3.config={}", identities.display()))
        .args([format!("-master.port={master}"), format!("-volume.port={volume}")])
        // Each gRPC port is its HTTP port plus 10000 unless named; named ones cannot collide with other tests.
        .args([
            format!("-master.port.grpc={}", free_port()?),
            format!("-volume.port.grpc={}", free_port()?),
        ])
        .args([
            format!("-filer.port={filer}"),
            format!("-filer.port.grpc={}", free_port()?),
        ])
        .args([format!("-s3.port={port}"), format!("-s3.port.grpc={}", free_port()?)]);
    let mut process = Process::start("weed", command, &folder.join("weed.log"))?;
    let (filer, client) = (Client::new(filer), Client::new(port));
    // A bucket is a folder below /buckets of the filer; an unsigned list answers 403 once the gateway is up.
    process.wait_until(READY_LIMIT, || {
        filer
            .post("/buckets/garner/", &[], b"")
            .is_ok_and(|a| a.status < 300 || a.status == 409)
            && client
                .get("/garner", &[])
                .is_ok_and(|a| a.status == 403 || a.status == 200)
    })?;
    Ok(S3Server { process, port, filer })
}
