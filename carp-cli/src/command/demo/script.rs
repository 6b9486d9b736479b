//! What happens in the demo, in order.

use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carp_node::control::Client as Control;
use carp_node::control::proto::StatusReport;
use carp_node::control::units::WallTime;
use carp_node::dissect::{Layer, LinkType, dissect};
use carp_node::lab::{Client, Frame, Gap, LabError, Request, Signal, Tap, wait_until};
use carp_node::sync::rsync::exit::Outcome as Passed;

use super::model::{Act, Setting, Span, Switch, Who, millis};
use super::pages::{Edit, put_orphans_back};
use super::report::{Outcome, Pages, Requests, Takeover};
use super::stage::{ASKS_EVERY, PRIMARY, SECONDARY, Stage, VIP};
use super::timers::Timers;
use super::watch::Watch;

/// How long each steady state is shown.
const STEADY: Duration = Duration::from_secs(2);

/// For how long around a switch-over what was under way may still come to its end.
const SETTLING: Duration = Duration::from_millis(100);

/// How much later than theory things may happen on a busy machine before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a pass over some pages may take until they are on the other server, on an idle machine.
const PASS: Duration = Duration::from_secs(2);

/// How long a server that returns needs to have everything, and to take over in order, on an idle machine.
const CATCH_UP: Duration = Duration::from_secs(4);

/// The numbers of the pages that are edited in turn: of those that were written first some are changed, and others
/// deleted, on the other server.
const FIRST: Range<usize> = 1..21;
const LATE: usize = 21;
const CHANGED: Range<usize> = 1..6;
const DELETED: Range<usize> = 6..8;
const MADE: Range<usize> = 22..27;
const LAST: Range<usize> = 27..30;

/// A request that was under way within this time of the death, or of the takeover, may be lost with
/// the dead machine.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// What the play is about, and how long its acts take if all goes as the timers say.
pub(super) fn setting(timers: Timers) -> Setting {
    let steady = timers.active_down(Who::Primary) + PASS * 2;
    let crash = timers.active_down(Who::Secondary) + STEADY;
    let failback = timers.failback() + CATCH_UP + PASS;
    let planned_stop = SETTLING * 2 + PASS + STEADY / 2;
    Setting {
        protocol: timers.protocol(),
        interval: timers.interval(Who::Primary),
        asks_every: ASKS_EVERY,
        expected: [steady, crash, failback, planned_stop],
    }
}

/// Plays the script. Whoever looks at the watch sees what happens as it happens.
pub(super) fn play(stage: Stage, timers: Timers, watch: &Watch) -> Result<Outcome, LabError> {
    let mut show = Show { stage, timers, watch: watch.clone(), begin: Instant::now() };
    let tap = show.stage.switch.tap()?;
    let client = show.steady()?;
    let (takeover, crash_end) = show.crash(&client, &tap)?;
    show.edit_on_the_secondary()?;
    std::thread::sleep(STEADY);
    let failback = show.failback(&client)?;
    let put_back = show.put_back()?;
    let handover = show.planned_stop(&client, &tap)?;
    std::thread::sleep(STEADY / 2);

    watch.release_client();
    let in_use = || LabError::System {
        doing: "stop the client".into(),
        source: std::io::Error::other("somebody still watches it"),
    };
    let requests = Arc::into_inner(client).ok_or_else(in_use)?.stop();
    watch.complete(&requests);
    let excused = (takeover.death - UNDER_WAY)..(crash_end + UNDER_WAY);
    let requests = count(&requests, |request| excused.contains(&request.sent));
    let pages = Pages { counts: show.stage.pages.count(), put_back };
    Ok(Outcome { takeover, handover, failback, requests, pages })
}

/// What became of the requests; those that failed and are not `excused` are lost for no good reason.
fn count(requests: &[Request], excused: impl Fn(&Request) -> bool) -> Requests {
    let lost = |request: &&Request| request.answered_by().is_none();
    let failed = requests.iter().filter(lost).count();
    Requests {
        sent: requests.len(),
        answered: requests.len() - failed,
        failed,
        repeated: requests.iter().filter(|request| request.repeated).count(),
        unexcused: requests.iter().filter(lost).filter(|request| !excused(request)).count(),
    }
}

/// Whether a frame is a resignation, in any protocol.
fn resigns(frame: &Frame) -> bool {
    let found = dissect(&frame.bytes, Layer::Link(LinkType::Ethernet), false);
    let standing = found.and_then(|found| found.message.standing());
    standing.is_some_and(carp_proto::election::Standing::is_resignation)
}

/// What a daemon says of itself, if it does.
fn status(socket: &Path) -> Option<StatusReport> {
    Control::connect(socket).ok()?.status(None).ok()
}

/// When the last pass ended, if it changed nothing.
fn idle_pass(socket: &Path) -> Option<WallTime> {
    let last = status(socket)?.sync.into_iter().next()?.last_pass?;
    (last.changed == 0 && last.outcome == Some(Passed::Complete)).then_some(last.ended)
}

/// How many adverts were heard.
fn adverts(socket: &Path) -> Option<u64> {
    status(socket)?.routers.first().map(|router| router.counters.adverts_received)
}

/// The stage, and somebody who tells what happens on it.
struct Show {
    stage: Stage,
    timers: Timers,
    watch: Watch,
    begin: Instant,
}

impl Show {
    /// The servers start, and the primary answers.
    fn steady(&mut self) -> Result<Arc<Client>, LabError> {
        self.watch.tell(format!(
            "primary {PRIMARY} and secondary {SECONDARY} share {VIP} by {}, adverts every {} ms",
            self.timers.protocol(),
            self.timers.interval(Who::Primary).as_millis()
        ));
        self.watch.doing("both servers start, and listen whether the address is in use");
        self.stage.primary.start(&self.watch)?;
        self.stage.secondary.start(&self.watch)?;
        self.wait_for_address(true, "the primary takes the address")?;
        let address: IpAddr = VIP.parse().map_err(|_| LabError::Off { host: VIP.to_owned() })?;
        let client = Arc::new(Client::start(&self.stage.client, address, ASKS_EVERY)?);
        self.watch.watch_client(&client);
        self.wait_for_answer(&client, Who::Primary, self.begin)?;
        self.watch.tell("steady: the primary answers");
        self.watch.doing("pages are written on the primary; the secondary copies them");
        self.stage.pages.edit(Edit::Before, FIRST)?;
        self.wait_for_copy(Who::Secondary)?;
        self.watch.tell(format!("{} pages are written on the primary, and copied", FIRST.len()));
        self.watch.doing("the primary has the address, answers, and says so in its adverts");
        self.wait_for_idle_pass()?;
        // From the next advert on the secondary is as patient as one whose data are not behind.
        self.wait_for_advert()?;
        Ok(client)
    }

    /// The primary's machine dies: its processes and its port at once.
    fn crash(&mut self, client: &Client, tap: &Tap) -> Result<(Takeover, Instant), LabError> {
        self.watch.act(
            Act::Crash,
            "the primary's machine has lost power; the secondary misses its adverts",
        );
        let active_down = self.patience_of_the_secondary();
        // One page that nobody has had the time to copy.
        self.stage.pages.edit(Edit::Late, [LATE])?;
        let death = self.stage.primary.host.power_off()?;
        self.watch.died(Who::Primary, death);
        self.watch.tell_of(death, "the primary's machine dies");
        let back = self.wait_for_answer(client, Who::Secondary, death)?;
        let takeover = self.takeover(client, tap, active_down, death, back);
        self.watch.tell(format!(
            "takeover: the secondary answers, {} ms after the death ({} ms are the timers')",
            back.saturating_duration_since(death).as_millis(),
            takeover.theory.as_millis()
        ));
        self.watch.doing("the secondary has taken the address over, and answers");
        let death = self.watch.at(death);
        let theory = Span { from: death, to: death + takeover.theory };
        self.switched(Act::Crash, takeover.outage, Some(theory));
        Ok((takeover, back))
    }

    /// How long the secondary waits for an advert, as it says itself: as long as its data come second, it leaves others
    /// the first turn.
    fn patience_of_the_secondary(&self) -> Duration {
        let status = status(&self.stage.secondary.socket());
        let router = status.and_then(|status| status.routers.into_iter().next());
        router.map_or_else(
            || self.timers.active_down(Who::Secondary),
            |it| it.timers.active_down_ms.0,
        )
    }

    /// Pages are changed, deleted and made while the primary is dead.
    fn edit_on_the_secondary(&mut self) -> Result<(), LabError> {
        let pages = &mut self.stage.pages;
        pages.edit(Edit::Changed, CHANGED)?;
        pages.edit(Edit::Deleted, DELETED)?;
        pages.edit(Edit::Made, MADE)?;
        self.watch.tell(format!(
            "on the secondary {} pages are changed, {} deleted and {} written",
            CHANGED.len(),
            DELETED.len(),
            MADE.len()
        ));
        self.watch.doing("the secondary has the address; pages are edited there, and only there");
        Ok(())
    }

    /// What the primary had when it died, and nobody else, is put back.
    fn put_back(&mut self) -> Result<usize, LabError> {
        let put_back =
            put_orphans_back(&self.stage.primary.socket(), self.stage.pages.tree(Who::Primary))?;
        if put_back > 0 {
            self.watch.tell(format!(
                "{put_back} page that only the dead primary had is put back from its rescue set"
            ));
        }
        self.wait_for_copy(Who::Primary)?;
        self.wait_for_copy(Who::Secondary)?;
        self.watch.tell("both servers have all pages");
        self.watch.doing("the primary has the address again; both servers have all pages");
        Ok(put_back)
    }

    /// What the wire and the client say of a takeover.
    fn takeover(
        &self,
        client: &Client,
        tap: &Tap,
        active_down: Duration,
        death: Instant,
        back: Instant,
    ) -> Takeover {
        let advert_of = |who: Who| {
            let ip: Option<IpAddr> = who.address().parse().ok();
            move |frame: &Frame| ip.is_some() && frame.advert_source() == ip
        };
        let (of_primary, of_secondary) = (advert_of(Who::Primary), advert_of(Who::Secondary));
        let last_advert = tap
            .frames()
            .iter()
            .filter(|frame| frame.at <= death)
            .filter(|frame| of_primary(frame))
            .map(|frame| frame.at)
            .max();
        let first_advert = tap.find(death, |frame| of_secondary(frame).then_some(frame.at));
        let outage = self.gap(client, death, back);
        let silent = last_advert.map_or(Duration::ZERO, |at| death.saturating_duration_since(at));
        Takeover {
            outage,
            detection: first_advert
                .map_or_else(|| outage.length(), |at| at.saturating_duration_since(death)),
            theory: active_down.saturating_sub(silent),
            death,
        }
    }

    /// The primary's machine boots, and preempts.
    fn failback(&mut self, client: &Client) -> Result<Gap, LabError> {
        self.watch.act(
            Act::Failback,
            "the primary's machine is back; it copies what it missed, and only then takes over",
        );
        self.stage.primary.host.boot()?;
        self.watch.booted(Who::Primary);
        self.stage.primary.start(&self.watch)?;
        let start = Instant::now();
        self.watch.tell("the primary's machine is back");
        self.wait_for_address(true, "the primary preempts")?;
        let answered = self.wait_for_answer(client, Who::Primary, start)?;
        let outage = self.settled_gap(client, start, answered);
        self.watch.tell(format!(
            "failback: the primary answers again; largest gap {}",
            millis(outage.length())
        ));
        self.watch.doing("the primary has the address again");
        self.switched(Act::Failback, outage, None);
        Ok(outage)
    }

    /// The primary's daemon is stopped as planned.
    fn planned_stop(&mut self, client: &Client, tap: &Tap) -> Result<Gap, LabError> {
        self.watch.act(
            Act::PlannedStop,
            "the primary is told to stop: the secondary copies the last pages, and then takes over",
        );
        self.stage.pages.edit(Edit::After, LAST)?;
        let start = Instant::now();
        self.watch.tell(format!(
            "{} more pages, and at once the primary's daemon is stopped as planned",
            LAST.len()
        ));
        if let Some(daemon) = &self.stage.primary.daemon {
            daemon.signal(Signal::TERM)?;
        }
        let answered = self.wait_for_answer(client, Who::Secondary, start)?;
        self.wait_for_address(false, "the primary gives the address back")?;
        let resigned = tap.find(start, |frame| resigns(frame).then_some(frame.at));
        if let Some(moment) = resigned {
            self.watch.resigned(Who::Primary, moment);
        }
        let outage = self.settled_gap(client, start, answered);
        self.watch.tell(format!(
            "handover: the secondary answers; largest gap {}",
            millis(outage.length())
        ));
        self.watch.doing("the primary has handed over, and its daemon has ended");
        self.switched(Act::PlannedStop, outage, None);
        Ok(outage)
    }

    fn switched(&self, act: Act, outage: Gap, theory: Option<Span>) {
        let outage = Span { from: self.watch.at(outage.from), to: self.watch.at(outage.to) };
        self.watch.switched(Switch { act, outage, theory });
    }

    fn wait_for_address(&self, expected: bool, what: &str) -> Result<(), LabError> {
        let ip: IpAddr = VIP.parse().map_err(|_| LabError::Off { host: VIP.to_owned() })?;
        let primary = &self.stage.primary;
        let mut ended = Ok(());
        wait_until(self.timers.active_down(Who::Secondary) + PATIENCE, what, || {
            if expected {
                ended = primary.expect_daemon(what);
            }
            ended.is_err() || primary.host.has_address(ip).is_ok_and(|has| has == expected)
        })?;
        ended
    }

    /// Waits until a server has all pages as they have to be.
    fn wait_for_copy(&self, who: Who) -> Result<(), LabError> {
        let what = format!("all pages are on the {}", who.name());
        wait_until(PATIENCE, &what, || self.stage.pages.are_right_on(who))
    }

    /// Waits until a pass has found nothing to do any more: from then on the secondary knows up to when it has
    /// everything.
    fn wait_for_idle_pass(&self) -> Result<(), LabError> {
        let (socket, since) = (self.stage.secondary.socket(), WallTime::now());
        wait_until(PATIENCE, "a pass finds nothing to do", || {
            idle_pass(&socket).is_some_and(|ended| ended.0 > since.0)
        })
    }

    fn wait_for_advert(&self) -> Result<(), LabError> {
        let socket = self.stage.secondary.socket();
        let before = adverts(&socket);
        let limit = self.timers.interval(Who::Primary) + PATIENCE;
        wait_until(limit, "the secondary hears an advert", || adverts(&socket) > before)
    }

    fn wait_for_answer(
        &self,
        client: &Client,
        server: Who,
        since: Instant,
    ) -> Result<Instant, LabError> {
        let mut answered = None;
        let what = format!("an answer from the {}", server.name());
        wait_until(self.timers.active_down(Who::Secondary) + PATIENCE, &what, || {
            answered = client.first_answer(since, server.name());
            answered.is_some()
        })?;
        Ok(answered.unwrap_or(since))
    }

    /// The largest gap around a switch-over, once what was under way has ended.
    fn settled_gap(&self, client: &Client, from: Instant, answered: Instant) -> Gap {
        std::thread::sleep(SETTLING);
        self.gap(client, from, answered + SETTLING)
    }

    fn gap(&self, client: &Client, from: Instant, to: Instant) -> Gap {
        let gap = carp_node::lab::largest_gap(&client.requests(), from, to);
        gap.unwrap_or(Gap { from, to: to.max(from) })
    }
}
