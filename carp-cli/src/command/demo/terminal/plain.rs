//! The plain form: a line an event, for files, pipes and terminals without colours.

use std::time::Duration;

use super::super::model::{Answer, Gap, Model, NOTABLE, Span, Told, millis};

/// What is to be printed, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Plain {
    waiting: Vec<Told>,
    /// How many of the model's are taken over.
    told: usize,
    answers: usize,
    last: Option<Answer>,
    /// Whether it is told that no answer comes at present.
    gap_told: bool,
}

impl Plain {
    /// The lines of what happened up to a moment, as far as they were not given before.
    pub(super) fn lines(&mut self, model: &Model, now: Duration, until: Duration) -> String {
        self.waiting.extend(model.told.iter().skip(self.told).cloned());
        self.told = model.told.len();
        for answer in model.answers.iter().skip(self.answers) {
            self.hear(*answer);
        }
        self.answers = model.answers.len();
        let open = model.gaps(now).into_iter().find(|gap| gap.open);
        if let Some(Gap { span, .. }) = open {
            self.open(span);
        }
        self.waiting.sort_by_key(|told| told.at);
        let due = self.waiting.partition_point(|told| told.at <= until);
        self.waiting.drain(..due).map(|told| line(&told)).collect()
    }

    fn hear(&mut self, answer: Answer) {
        if let Some(last) = self.last {
            let gap = Span { from: last.at, to: answer.at };
            if gap.length() >= NOTABLE {
                self.open(gap);
                self.gap_told = false;
                let (by, length) = (answer.by.name(), millis(gap.length()));
                self.tell(
                    answer.at,
                    format!("client: answered by the {by} after a gap of {length}"),
                );
            }
        }
        self.last = Some(answer);
    }

    fn open(&mut self, gap: Span) {
        if !self.gap_told {
            self.gap_told = true;
            let text = format!("client: no answer for {} ms", NOTABLE.as_millis());
            self.tell(gap.from + NOTABLE, text);
        }
    }

    fn tell(&mut self, at: Duration, text: String) {
        self.waiting.push(Told { at, text });
    }
}

fn line(told: &Told) -> String {
    format!("{:7.3} s  {}\n", told.at.as_secs_f64(), told.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::model::tests::{crashed, ms, taken_over};

    #[test]
    fn a_gap_is_told_once_when_it_opens_and_once_when_it_closes() {
        let mut plain = Plain::default();
        let told = plain.lines(&crashed(ms(5060)), ms(5060), ms(5060));
        assert_eq!(told, "  5.045 s  client: no answer for 50 ms\n");
        assert_eq!(plain.lines(&crashed(ms(6000)), ms(6000), ms(6000)), "");
        let told = plain.lines(&taken_over(ms(9000)), ms(9000), ms(9000));
        assert_eq!(told, "  8.384 s  client: answered by the secondary after a gap of 3389.0 ms\n");
    }

    #[test]
    fn late_reports_stand_in_the_order_of_time() {
        let mut plain = Plain::default();
        let mut model = crashed(ms(5010));
        let tell = |at, text: &str| Told { at: ms(at), text: text.into() };
        model.told = vec![tell(5002, "second"), tell(5001, "first"), tell(5009, "later")];
        let lines = plain.lines(&model, ms(5010), ms(5005));
        assert_eq!(lines, "  5.001 s  first\n  5.002 s  second\n");
        assert_eq!(plain.lines(&model, ms(5010), Duration::MAX), "  5.009 s  later\n");
    }
}
