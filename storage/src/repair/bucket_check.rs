//! Tries whether a bucket can do what garner asks of it, with the very requests that garner sends, and says which settings
//! fit.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;

use super::progress::Progress;
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::object::paths::CHECK_PREFIX;
use crate::object::{Bucket, ObjectWriter, PutOutcome};

/// Bytes of the object that is read by ranges.
const OBJECT_BYTES: usize = 4 << 20;
/// Bytes of the second part of the object that is written in parts.
const SECOND_PART_BYTES: usize = 300_000;
/// Objects that are listed. More than the thousand that S3 lists on one page would cost more than they tell.
const LISTED: usize = 12;
/// Creates of one object at the same time, and how often that is tried.
const CREATORS: usize = 8;
const CREATE_ROUNDS: usize = 5;

/// One request or group of requests that was tried.
#[derive(Clone, Debug)]
pub struct CheckStep {
    /// What was tried.
    pub name: &'static str,
    /// How long it took.
    pub elapsed: Duration,
    /// What is wrong; `None` where it did what it should.
    pub fault: Option<String>,
}

/// What became of creating an object only where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionalCreate {
    /// Exactly one of several creates wins, and its bytes stay.
    Works,
    /// The store writes over what is there.
    Ignored,
    /// The store refuses the request.
    Refused,
    /// The store did not answer.
    Unknown,
}

/// What was found out about a bucket.
#[derive(Clone, Debug)]
pub struct BucketCheck {
    /// All steps, in order; after a fault that the others stand on there are fewer.
    pub steps: Vec<CheckStep>,
    /// Decides `catalog.single_writer`.
    pub conditional_create: ConditionalCreate,
}

impl BucketCheck {
    /// The steps whose failure no setting helps.
    pub fn faults(&self) -> impl Iterator<Item = &CheckStep> {
        self.steps.iter().filter(|step| step.fault.is_some())
    }
}

/// Tries everything below a folder of its own, named by `run`, which is removed again. Takes a few dozen megabytes of traffic.
pub async fn check_bucket(bucket: &Bucket, clock: &SharedClock, run: u128, progress: &dyn Progress) -> BucketCheck {
    let folder = format!("{CHECK_PREFIX}/{run:032x}");
    let mut check = Run {
        bucket,
        clock,
        progress,
        folder,
        steps: Vec::new(),
    };
    progress.stage("checking the object store", 8);
    let body: Bytes = (0..OBJECT_BYTES)
        .map(|i| (i * 31 % 251) as u8)
        .collect::<Vec<u8>>()
        .into();
    // Without these nothing else means anything.
    if check.step("put, read back", check.put_and_get(&body)).await.is_some() {
        check.step("write over, read back", check.overwrite()).await;
        check.step("read by ranges", check.ranges(&body)).await;
        check.step("write in parts, read back, give up", check.parts()).await;
        check.step("list", check.list()).await;
        check.step("delete", check.delete()).await;
    }
    let conditional_create = check.conditional_creates().await;
    check.step("clean up", check.clean_up()).await;
    BucketCheck {
        steps: check.steps,
        conditional_create,
    }
}

struct Run<'a> {
    bucket: &'a Bucket,
    clock: &'a SharedClock,
    progress: &'a dyn Progress,
    folder: String,
    steps: Vec<CheckStep>,
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, message)
}

impl Run<'_> {
    /// Notes how a step went; `Some` where it went well. The future must not borrow the steps, see `Self::at`.
    async fn step(&mut self, name: &'static str, step: impl Future<Output = Result<()>>) -> Option<()> {
        let begun = self.clock.now();
        let outcome = step.await;
        self.note(name, begun, outcome)
    }

    fn note(&mut self, name: &'static str, begun: i64, outcome: Result<()>) -> Option<()> {
        let nanos = self.clock.now().saturating_sub(begun);
        let fault = outcome.err().map(|error| error.to_string());
        let fine = fault.is_none().then_some(());
        self.steps.push(CheckStep {
            name,
            elapsed: Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)),
            fault,
        });
        self.progress.advance(1);
        fine
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn put_and_get(&self, body: &Bytes) -> impl Future<Output = Result<()>> + use<> {
        let (bucket, path, body) = (self.bucket.clone(), self.path("object"), body.clone());
        async move {
            bucket.put(&path, body.clone()).await?;
            expect(bucket.get(&path).await? == body, "what was written is not what is read")
        }
    }

    fn overwrite(&self) -> impl Future<Output = Result<()>> + use<> {
        let (bucket, path) = (self.bucket.clone(), self.path("overwritten"));
        async move {
            for text in ["first", "second, longer", "3rd"] {
                bucket.put(&path, text.into()).await?;
                let found = bucket.get(&path).await?;
                expect(
                    found == text.as_bytes(),
                    "an object that was written over is read as it was before",
                )?;
            }
            Ok(())
        }
    }

    fn ranges(&self, body: &Bytes) -> impl Future<Output = Result<()>> + use<> {
        let (bucket, path, body) = (self.bucket.clone(), self.path("object"), body.clone());
        async move {
            let len = body.len() as u64;
            for range in [0..1, 1000..70_000, len - 17..len, 0..len] {
                let found = bucket.get_range(&path, range.clone()).await?;
                let expected = body.slice(range.start as usize..range.end as usize);
                expect(found == expected, "a ranged read gives other bytes than were asked for")?;
            }
            // A tail that is shorter than the catalog says must be told apart from a store that does not answer.
            match bucket.get_range(&path, len - 5..len + 5).await {
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
                Ok(_) => return Err(wrong("a range beyond the end gives bytes")),
            }
            match bucket.get_range(&format!("{path}-missing"), 0..5).await {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
                Ok(_) => Err(wrong("an object that does not exist gives bytes")),
            }
        }
    }

    fn parts(&self) -> impl Future<Output = Result<()>> + use<> {
        let (bucket, path, given_up) = (self.bucket.clone(), self.path("parts"), self.path("given-up"));
        async move {
            // Two parts, the second of them short.
            let body: Vec<u8> = (0..ObjectWriter::MAX_HELD_BYTES as usize + SECOND_PART_BYTES)
                .map(|i| (i * 37 % 241) as u8)
                .collect();
            let mut writer = bucket.writer(&path);
            writer.write(&body).await?;
            expect_missing(
                &bucket,
                &path,
                "an object whose parts are not put together yet can be read",
            )
            .await?;
            writer.finish().await?;
            let len = body.len() as u64;
            let border = ObjectWriter::MAX_HELD_BYTES;
            for range in [0..len, border - 100..border + 100] {
                let found = bucket.get_range(&path, range.clone()).await?;
                let expected = &body[range.start as usize..range.end as usize];
                expect(
                    found == expected,
                    "an object written in parts has other bytes than the parts had",
                )?;
            }
            let mut writer = bucket.writer(&given_up);
            writer.write(&body).await?;
            writer.abort().await;
            expect_missing(&bucket, &given_up, "an object whose parts were given up can be read").await
        }
    }

    fn list(&self) -> impl Future<Output = Result<()>> + use<> {
        let (bucket, folder) = (self.bucket.clone(), self.path("listed"));
        async move {
            let names: Vec<String> = (0..LISTED).map(|i| format!("{folder}/{i:020}.x")).collect();
            for name in &names {
                bucket.put(name, "x".into()).await?;
            }
            let listed = async |after: Option<&str>| {
                let found = bucket.list(&folder, after).await?;
                Ok::<_, Error>(found.into_iter().map(|o| (o.path, o.size)).collect::<Vec<_>>())
            };
            let expected = |names: &[String]| names.iter().map(|n| (n.clone(), 1u64)).collect::<Vec<_>>();
            expect(
                listed(None).await? == expected(&names),
                "a listing misses objects that were just written, or has others",
            )?;
            let after = &names[LISTED / 2];
            expect(
                listed(Some(after)).await? == expected(&names[LISTED / 2 + 1..]),
                "a listing that begins behind a name (start-after) begins elsewhere",
            )?;
            bucket.delete(&names[0]).await?;
            expect(
                listed(None).await? == expected(&names[1..]),
                "a listing has an object that was just deleted",
            )
        }
    }

    fn delete(&self) -> impl Future<Output = Result<()>> + use<> {
        let (bucket, path) = (self.bucket.clone(), self.path("deleted"));
        async move {
            bucket.put(&path, "x".into()).await?;
            bucket.delete(&path).await?;
            // Twice: an answer may be lost.
            bucket.delete(&path).await?;
            expect_missing(&bucket, &path, "a deleted object can still be read").await
        }
    }

    async fn conditional_creates(&mut self) -> ConditionalCreate {
        let begun = self.clock.now();
        let mut worked = ConditionalCreate::Works;
        let mut fault = Ok(());
        for round in 0..CREATE_ROUNDS {
            match self.create_at_once(round).await {
                Ok(ConditionalCreate::Works) => continue,
                Ok(other) => {
                    worked = other;
                    fault = Err(wrong(match other {
                        ConditionalCreate::Refused => "the store refuses If-None-Match",
                        _ => "the store writes over an object in spite of If-None-Match",
                    }));
                }
                Err(error) => {
                    worked = ConditionalCreate::Unknown;
                    fault = Err(error);
                }
            }
            break;
        }
        self.note("create only where there is none, at the same time", begun, fault);
        worked
    }

    async fn create_at_once(&self, round: usize) -> Result<ConditionalCreate> {
        let path = self.path(&format!("created-{round}"));
        let bodies: Vec<Bytes> = (0..CREATORS).map(|i| format!("creator {i}").into()).collect();
        let puts = bodies.iter().map(|body| self.bucket.put_if_absent(&path, body.clone()));
        let mut winners = Vec::new();
        for (body, outcome) in bodies.iter().zip(join_all(puts).await) {
            match outcome {
                Ok(PutOutcome::Created) => winners.push(body),
                Ok(PutOutcome::Exists) => {}
                Err(error) if error.kind() == ErrorKind::Invalid => return Ok(ConditionalCreate::Refused),
                Err(error) => return Err(error),
            }
        }
        let found = self.bucket.get(&path).await?;
        // None says that it has won where the winner's answer was lost.
        let one = match winners.as_slice() {
            [] => bodies.contains(&found),
            [winner] => found == **winner,
            _ => false,
        };
        let later = self.bucket.put_if_absent(&path, "too late".into()).await?;
        let kept = later == PutOutcome::Exists && self.bucket.get(&path).await? == found;
        Ok(if one && kept {
            ConditionalCreate::Works
        } else {
            ConditionalCreate::Ignored
        })
    }

    fn clean_up(&self) -> impl Future<Output = Result<()>> + use<> {
        let (bucket, folder) = (self.bucket.clone(), self.folder.clone());
        async move {
            for object in bucket.list(&folder, None).await? {
                bucket.delete(&object.path).await?;
            }
            Ok(())
        }
    }
}

async fn expect_missing(bucket: &Bucket, path: &str, otherwise: &str) -> Result<()> {
    match bucket.get_range(path, 0..1).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(wrong(otherwise)),
    }
}

fn expect(holds: bool, otherwise: &str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(wrong(otherwise)),
    }
}
