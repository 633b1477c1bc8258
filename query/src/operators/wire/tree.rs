//! Whole plans to bytes and back, without recursion: operators stand after their inputs.

use datafusion_common::{Result, exec_datafusion_err, exec_err};
use datafusion_execution::TaskContext;

use super::PlanCodec;
use super::codec::VERSION;
use crate::operators::exec::Plan;

/// Most operators of a plan.
const MAX_OPERATORS: usize = 16_384;
/// Most levels of a plan, which are walked by recursion when it runs. The parsers allow 128, and a level of a query becomes at
/// most three operators.
const MAX_DEPTH: usize = 512;

impl PlanCodec {
    /// The bytes of a plan of our operators.
    pub fn encode_plan(&self, plan: &Plan) -> Result<Vec<u8>> {
        // Parents before inputs, inputs from the last to the first; turned round, that is inputs first and in order.
        let (mut waiting, mut order) = (vec![(plan, 1)], Vec::new());
        while let Some((node, depth)) = waiting.pop() {
            let children = node.children();
            if depth > MAX_DEPTH || order.len() >= MAX_OPERATORS {
                return exec_err!("a plan of more than {MAX_DEPTH} levels or {MAX_OPERATORS} operators cannot be sent");
            }
            order.push((node, children.len()));
            waiting.extend(children.into_iter().map(|child| (child, depth + 1)));
        }
        let mut out = vec![VERSION];
        push_number(order.len(), &mut out)?;
        let mut operator = Vec::new();
        for (node, inputs) in order.into_iter().rev() {
            operator.clear();
            self.try_encode(node, &mut operator)?;
            push_number(inputs, &mut out)?;
            push_number(operator.len(), &mut out)?;
            out.extend_from_slice(&operator);
        }
        Ok(out)
    }

    /// The plan whose bytes these are, to be run in `context`.
    pub fn decode_plan(&self, bytes: &[u8], context: &TaskContext) -> Result<Plan> {
        let bad = || exec_datafusion_err!("a plan of {} bytes is cut off or has no single root", bytes.len());
        let (&version, mut rest) = bytes.split_first().ok_or_else(bad)?;
        if version != VERSION {
            return exec_err!("a plan has version {version}, this process reads {VERSION}: run one version everywhere");
        }
        // Without the count, a plan cut off after one of its operators would be another plan.
        let expected = take_number(&mut rest).filter(|n| *n <= MAX_OPERATORS).ok_or_else(bad)?;
        // Plans with how deep they are.
        let (mut stack, mut count): (Vec<(Plan, usize)>, usize) = (Vec::new(), 0);
        while !rest.is_empty() {
            let inputs = take_number(&mut rest).ok_or_else(bad)?;
            let length = take_number(&mut rest).ok_or_else(bad)?;
            let (operator, after) = rest.split_at_checked(length).ok_or_else(bad)?;
            rest = after;
            let first = stack.len().checked_sub(inputs).ok_or_else(bad)?;
            let below = stack.split_off(first);
            let depth = below.iter().map(|(_, depth)| depth + 1).max().unwrap_or(1);
            count += 1;
            if depth > MAX_DEPTH || count > expected {
                return Err(bad());
            }
            let below: Vec<Plan> = below.into_iter().map(|(plan, _)| plan).collect();
            stack.push((self.try_decode(operator, &below, context)?, depth));
        }
        match (stack.pop(), stack.is_empty()) {
            (Some((plan, _)), true) if count == expected => Ok(plan),
            _ => Err(bad()),
        }
    }
}

fn push_number(number: usize, out: &mut Vec<u8>) -> Result<()> {
    let number = u32::try_from(number).map_err(|_| exec_datafusion_err!("a plan is too large to be sent"))?;
    out.extend_from_slice(&number.to_le_bytes());
    Ok(())
}

fn take_number(rest: &mut &[u8]) -> Option<usize> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}
