//! The picture as text: what a terminal shows, without the colours.

use super::*;
use crate::command::demo::model::tests::{crashed, ms, taken_over};

fn picture(model: &Model, now: u64, width: usize, unicode: bool) -> String {
    let lines = frame(model, ms(now), View { width, unicode });
    lines.iter().map(|line| line.text() + "\n").collect()
}

#[test]
fn a_running_gap_is_shown_with_its_length() {
    let shown = "\
Two servers share the address 192.168.130.100; a client asks it every 5 ms.
The active one answers and says so every 1000 ms; when it falls silent, the other takes over.

                                    1 steady            2 crash
primary    192.168.130.50  dead     ────────────█████████×××××
secondary  192.168.130.10  BACKUP   ──────────────────────────
client     no answer for 1205 ms                ▀▀▀▀▀▀▀▀▀░░░░░
                                                        ╰ 1205 ms
                                    0 s     2 s     4 s     6 s      8 s     10 s    12 s     14 s
█ active, answers   ▒ active   ─ backup   · init or stopped   × dead
▀ primary's answers   ▄ secondary's   ░ none

act 2 of 4  crash        ━━━━━───────────────────  1.2 s of about 5.5 s
the primary's machine has lost power
requests: 600 sent, 396 answered, 0 failed, 204 waiting
";
    assert_eq!(picture(&crashed(ms(6200)), 6200, 99, true), shown);
}

#[test]
fn a_takeover_can_be_read_without_block_characters() {
    let shown = "\
Two servers share the address 192.168.130.100; a client asks it every 5 ms.
The active one answers and says so every 1000 ms; when it falls silent, the
other takes over.

                                    1 steady      2 crash
primary    192.168.130.50  dead     --------#######xxxxxxxxxxxx
secondary  192.168.130.10  ACTIVE   -----------------------####
client     answered by secondary            PPPPPPP!!!!!!!!SSSS
                                                  ^ 3389.0 ms
                                    0 s           5 s           10 s       15 s
# active, answers   = active   - backup   . init or stopped   x dead
P primary's answers   S secondary's   ! none

act 2 of 4  crash        ==================......  4.2 s of about 5.5 s
the primary's machine has lost power
requests: 600 sent, 396 answered, 0 failed, 204 waiting
crash          3389.0 ms gap, 3380.0 ms of it the timers'
";
    assert_eq!(picture(&taken_over(ms(9200)), 9200, 79, false), shown);
}

#[test]
fn a_picture_keeps_to_its_width() {
    for width in 59..200 {
        for unicode in [false, true] {
            let lines = frame(&taken_over(ms(9200)), ms(9200), View { width, unicode });
            let widest = lines.iter().map(|line| line.text().chars().count()).max();
            assert!(widest <= Some(width), "{widest:?} of {width}");
        }
    }
}

#[test]
fn a_picture_has_room_on_the_smallest_terminal() {
    let mut model = taken_over(ms(9200));
    let Some(switch) = model.switches.first().copied() else { panic!("a switch") };
    model.switches = vec![switch; 3];
    model.doing = "x ".repeat(50);
    let smallest = super::super::SMALLEST;
    let lines = frame(&model, ms(9200), View { width: smallest.columns - 1, unicode: true });
    assert!(lines.len() < smallest.rows, "{} lines", lines.len());
}

#[test]
fn servers_and_states_have_colours() {
    let lines = frame(&crashed(ms(6200)), ms(6200), View { width: 99, unicode: true });
    let colours = |line: usize| lines.get(line).map(Line::ansi).unwrap_or_default();
    let (primary, secondary, client) = (colours(4), colours(5), colours(6));
    assert!(primary.contains("\x1b[32m████") && primary.contains("\x1b[91m×××"), "{primary}");
    assert!(secondary.contains("\x1b[36m────"), "{secondary}");
    assert!(client.contains("\x1b[94m▀▀▀") && client.contains("\x1b[91m░░░"), "{client}");
}
