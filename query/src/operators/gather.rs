//! Brings the partitions of a plan together: one stream, rows in the order of the partitions, which run at the same time.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion_common::{Result, internal_datafusion_err};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use futures::StreamExt;
use futures::stream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::exec::{Operator, OperatorExec, Plan, partitions};
use super::stream::boxed_with;
use super::wire::Parts;
use crate::context::QueryContext;

/// Batches that one partition may be ahead of the reader: enough to keep both cores busy, a few MiB at most.
const CHANNEL_BATCHES: usize = 4;

/// The operator's parameters.
#[derive(Debug)]
pub struct Gather {
    input: Plan,
}

impl Gather {
    /// `input` in one partition; the input itself where it has one.
    pub fn one_partition(input: Plan) -> Plan {
        if partitions(&input) == 1 {
            input
        } else {
            OperatorExec::plan(Gather { input })
        }
    }
}

impl Operator for Gather {
    const NAME: &'static str = "GatherExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inputs={}", partitions(&self.input))
    }

    fn inputs(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn with_inputs(&self, mut inputs: Vec<Plan>) -> Result<Self> {
        Ok(Gather {
            input: inputs.swap_remove(0),
        })
    }

    fn partitions(&self) -> usize {
        1
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    type Wire = ();

    fn to_wire(&self) -> Self::Wire {}

    fn from_wire((): Self::Wire, parts: &mut Parts<'_>) -> Result<Self> {
        Ok(Gather { input: parts.input()? })
    }

    fn run(&self, _: usize, _: Arc<QueryContext>, task: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        // Dropping the set aborts the tasks, so a reader that leaves stops them.
        let mut tasks = JoinSet::new();
        let mut receivers = Vec::new();
        for partition in 0..partitions(&self.input) {
            let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
            receivers.push(receiver);
            tasks.spawn(run_partition(
                Arc::clone(&self.input),
                partition,
                Arc::clone(&task),
                sender,
            ));
        }
        let state = (tasks, receivers.into_iter(), None);
        let batches = stream::unfold(state, |(tasks, mut waiting, mut current)| async move {
            loop {
                let receiver: &mut mpsc::Receiver<Message> = match &mut current {
                    Some(receiver) => receiver,
                    None => current.insert(waiting.next()?),
                };
                match receiver.recv().await {
                    Some(Message::Batch(batch)) => return Some((batch, (tasks, waiting, current))),
                    Some(Message::End) => current = None,
                    // A task that panicked says no end; its rows must not just be missing.
                    None => {
                        let error = internal_datafusion_err!("a partition of the query ended before its end");
                        return Some((Err(error), (tasks, Vec::new().into_iter(), None)));
                    }
                }
            }
        });
        Ok(boxed_with(self.input.schema(), batches))
    }
}

/// What a partition tells the reader.
enum Message {
    Batch(Result<RecordBatch>),
    End,
}

async fn run_partition(input: Plan, partition: usize, task: Arc<TaskContext>, sender: mpsc::Sender<Message>) {
    let mut batches = match input.execute(partition, task) {
        Ok(batches) => batches,
        Err(error) => {
            // A reader that is gone needs no error.
            let _ = sender.send(Message::Batch(Err(error))).await;
            return;
        }
    };
    while let Some(batch) = batches.next().await {
        if sender.send(Message::Batch(batch)).await.is_err() {
            return;
        }
    }
    let _ = sender.send(Message::End).await;
}
