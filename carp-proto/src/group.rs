//! Sync groups: routers that become active together and step down together.

use alloc::vec;
use alloc::vec::Vec;

use crate::election::{Input, Posture};

/// The routers of one host that are active together or not at all.
///
/// - **Up by unanimity.** A router that would become active is [willing](Posture::Willing) and waits, as
///   a backup, until every other one is willing too or active. Then all take over at once.
/// - **Down by any.** When one router is not active any more, for whatever reason, every other one
///   [steps down](Input::StepDown).
///
/// So one lossy link cannot tear two addresses apart, and of two hosts that each hear a half of the
/// group, none takes the other half. A router without a link keeps the whole group backup.
///
/// A group knows its routers by their numbers, from 0 on, and what it knows of them is their
/// [`Posture`]. It has no time and needs no wake-up. Whoever drives it
///
/// 1. makes it before its routers are started, and drains it as in 3, which tells them to wait for each
///    other;
/// 2. after each datagram and each input of a router, and after the actions that came of it, **puts in**
///    the router's posture ([`note`](Self::note));
/// 3. then **takes out** inputs ([`poll_input`](Self::poll_input)) until there are none, and does 2 with
///    each before it takes out the next one;
/// 4. and then asks all of its routers for their deadlines.
///
/// What happens to several routers at once, such as the loss of a link that they share, or a stop of
/// all, is put into each of them and noted before the group is drained: then none of them is told to
/// step down for another one.
///
/// A router that leaves its group is told [`Input::Permit(true)`](Input::Permit), or else it waits for
/// ever.
///
/// # Two routers, driven by hand
///
/// ```
/// use bytes::BytesMut;
/// use carp_proto::election::{Input, LinkState, Posture};
/// use carp_proto::{Action, Group, Instant, Key, RouterConfig, VirtualId, VirtualRouter};
///
/// struct Host {
///     routers: Vec<VirtualRouter>,
///     group: Group,
/// }
///
/// impl Host {
///     /// Steps 2 and 3.
///     fn input(&mut self, now: Instant, router: usize, input: Input) {
///         self.one(now, router, input);
///         while let Some((router, input)) = self.group.poll_input() {
///             self.one(now, router, input);
///         }
///     }
///
///     fn one(&mut self, now: Instant, router: usize, input: Input) {
///         self.routers[router].handle(now, input);
///         let mut scratch = BytesMut::new();
///         while let Some(action) = self.routers[router].poll_action(&mut scratch) {
///             let _ = action; // A real host carries it out.
///         }
///         self.group.note(router, self.routers[router].posture());
///     }
/// }
///
/// let key = Key::new(b"secret")?;
/// let mut routers = Vec::new();
/// for (id, address) in [(1, "192.168.130.100"), (2, "192.168.131.100")] {
///     let addresses = vec![address.parse()?];
///     let config = RouterConfig::carp(VirtualId::new(id)?, &key, addresses, id.into())?;
///     routers.push(VirtualRouter::new(config));
/// }
/// let mut host = Host { group: Group::new(routers.len()), routers };
/// let mut now = Instant::ZERO;
/// while let Some((router, input)) = host.group.poll_input() {
///     host.one(now, router, input);
/// }
///
/// let up = Input::Link(LinkState::Up { source: "192.168.130.50".parse()? });
/// for router in 0..2 {
///     host.input(now, router, Input::Start);
/// }
/// host.input(now, 0, up);
/// now = host.routers[0].poll_timeout().expect("a backup has a deadline").at;
/// host.input(now, 0, Input::Timeout);
/// // Nobody is active for the first address, but the second one has no link yet.
/// assert_eq!(host.routers[0].posture(), Posture::Willing);
///
/// host.input(now, 1, up);
/// now = host.routers[1].poll_timeout().expect("a backup has a deadline").at;
/// host.input(now, 1, Input::Timeout);
/// assert_eq!([0, 1].map(|router| host.routers[router].posture()), [Posture::Active; 2]);
///
/// host.input(now, 1, Input::Link(LinkState::Down));
/// assert_eq!(host.routers[0].posture(), Posture::Backup, "it had no addresses yet");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    members: Vec<Member>,
}

/// What is known of a router, and what it knows.
#[derive(Clone, Copy, Debug)]
struct Member {
    posture: Posture,
    /// What it was told last of [`Input::Permit`].
    permitted: Option<bool>,
    /// Whether it was told to step down since it took its posture. So a router that does not act on it
    /// is not told for ever.
    told_to_step_down: bool,
}

/// Inputs and outputs.
impl Group {
    /// A group of this many routers, all of them in [`Posture::Init`].
    #[must_use]
    pub fn new(size: usize) -> Self {
        let member = Member { posture: Posture::Init, permitted: None, told_to_step_down: false };
        Self { members: vec![member; size] }
    }

    /// Takes in the posture of a router. A number that is no router's of this group changes nothing.
    pub fn note(&mut self, member: usize, posture: Posture) {
        if let Some(member) = self.members.get_mut(member)
            && member.posture != posture
        {
            member.posture = posture;
            member.told_to_step_down = false;
        }
    }

    /// The next input, and the number of the router that it is for; `None` until another
    /// [`note`](Self::note).
    ///
    /// What comes rests on the postures as they are at this moment, so those that change while the group
    /// is drained count at once. They do not make it go round: a group whose routers are all up tells
    /// none of them to step down, and any other one permits none of them to take over.
    pub fn poll_input(&mut self) -> Option<(usize, Input)> {
        let up = self.members.iter().all(Member::is_up);
        let down = self.members.iter().any(Member::is_down);
        // What keeps routers back comes first: none of them acts on what was true before.
        self.next(|member| member.permit(up && member.waits(), false))
            .or_else(|| self.next(|member| member.step_down(up, down)))
            .or_else(|| self.next(|member| member.permit(up && member.waits(), true)))
    }

    fn next(&mut self, tell: impl Fn(&mut Member) -> Option<Input>) -> Option<(usize, Input)> {
        let told = |(number, member)| Some((number, tell(member)?));
        self.members.iter_mut().enumerate().find_map(told)
    }
}

impl Member {
    /// Whether it is active, or waits for nothing but the permission to be.
    const fn is_up(&self) -> bool {
        match self.posture {
            Posture::Willing | Posture::Active | Posture::Unanswered => true,
            Posture::Init | Posture::Backup | Posture::Leaving => false,
        }
    }

    /// Whether it is not active, and does not wait to be.
    const fn is_down(&self) -> bool {
        match self.posture {
            Posture::Init | Posture::Backup => true,
            Posture::Willing | Posture::Active | Posture::Leaving | Posture::Unanswered => false,
        }
    }

    /// Whether a permission makes it active.
    const fn waits(&self) -> bool {
        match self.posture {
            Posture::Willing | Posture::Unanswered => true,
            Posture::Init | Posture::Backup | Posture::Active | Posture::Leaving => false,
        }
    }

    /// Tells it whether it may become active, if that is news and of this kind.
    fn permit(&mut self, permitted: bool, kind: bool) -> Option<Input> {
        if permitted != kind || self.permitted == Some(permitted) {
            return None;
        }
        self.permitted = Some(permitted);
        Some(Input::Permit(permitted))
    }

    /// Tells it to step down from a group that is not up, once. One that nobody took over from may serve
    /// as long as the others leave, and no longer.
    fn step_down(&mut self, up: bool, down: bool) -> Option<Input> {
        let must = match self.posture {
            Posture::Active => !up,
            Posture::Unanswered => down,
            Posture::Init | Posture::Backup | Posture::Willing | Posture::Leaving => false,
        };
        if !must || self.told_to_step_down {
            return None;
        }
        self.told_to_step_down = true;
        Some(Input::StepDown)
    }
}
