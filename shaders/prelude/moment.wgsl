// The timestep that a kernel is at. One that makes a single timestep is told which, and is bound to what that is about;
// one that makes a window of them (W is 1) is bound to whole sequences (T, B, width), and goes from each to the next.
//: if W == 1
const DOWN = 4u; // it goes from the last timestep to the first

// What of Params a product reads, where that changes from one timestep to the next.
struct Extents { m: u32, n: u32, k: u32 }

var<private> now: u32;     // the timestep
var<private> behind: u32;  // the one it made just before; none where `begins`
var<private> ahead: u32;   // the one it makes next; none where `ends`
var<private> begins: bool;
var<private> resumes: bool; // what it made just before was made by another dispatch
var<private> ends: bool;

// Goes to timestep s of the window, counted in the order in which they are made.
fn go_to(s: u32) {
    let down = (p.flags & DOWN) != 0u;
    now = select(s, p.time - 1u - s, down);
    behind = select(now - 1u, now + 1u, down);
    ahead = select(now + 1u, now - 1u, down);
    begins = s == 0u;
    resumes = s == p.since;
    ends = s + 1u == p.time;
}
fn moment() -> u32 { return now; }
// Where what belongs to the timestep begins in a sequence (T, B, width).
fn of_now(start: u32, width: u32) -> u32 { return start + now * p.m * width; }
// The same in one of nothing but the timesteps that this dispatch makes.
fn of_these(start: u32, width: u32) -> u32 { return start + (now - earliest()) * p.m * width; }
fn earliest() -> u32 { return select(p.since, p.time - p.since - p.steps, (p.flags & DOWN) != 0u); }
//: else
fn moment() -> u32 { return p.t; }
fn of_now(start: u32, width: u32) -> u32 { return start; }
fn of_these(start: u32, width: u32) -> u32 { return start; }
//: end

// Whether a row has ended at or before the timestep, where there are lengths (LEN is 1).
//: if LEN == 1
fn is_held(row: u32) -> bool { return moment() >= lengths[p.lengths + row]; }
//: else
fn is_held(row: u32) -> bool { return false; }
//: end
