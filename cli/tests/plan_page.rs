//! `plimsoll plan --svg` and `--html`: a plan as a picture, and as a page that needs nothing but itself.

mod common;

use common::{RUN, Scratch, assert_has, page};
use serde_json::Value;

/// The numbers that the page's script draws.
fn numbers(page: &str) -> Value {
    let from = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    serde_json::from_str(&page[from..from + page[from..].find("</script>").unwrap()]).unwrap()
}

fn plan(scratch: &Scratch, args: &str) -> Value {
    serde_json::from_str(&scratch.run(&format!("plan run.toml --json {args}"), 0)).unwrap()
}

#[test]
fn the_page_has_every_value_of_the_plan_and_every_table() {
    let scratch = Scratch::with_run();
    let plan = plan(&scratch, "--memory 1MiB --html plan.html --profile lavapipe");
    let page = page(&scratch, "plan.html");
    assert_has(&page, &["<title>Plan of embedding 4 &gt; rnn 8 &gt; linear", "fits</span>", "llvmpipe"]);
    let sections = ["Memory over time", "Memory by role", "Memory by layer", "Alive at the peak", "What saving brings"];
    assert_has(&page, &sections);
    assert_has(&page, &["Kept for the way back", "by PyTorch", "Every value", plan["digest"].as_str().unwrap()]);
    assert_has(&page, &["for rnn.weight_hh_l0: h[t-1], a factor of the weight&#39;s gradient", "bytes used again"]);
    let told = numbers(&page);
    assert_eq!((&told["bytes"], &told["line"]), (&plan["planned_bytes"], &Value::from(1 << 20)));
    assert_eq!(told["bound"], plan["lower_bound_bytes"]);
    let values = told["values"].as_array().unwrap();
    let number = |value: &Value, at: usize| value[at].as_u64().unwrap();
    let planned = plan["planned_bytes"].as_u64().unwrap();
    for value in values {
        assert!(number(value, 0) < number(value, 1) && number(value, 1) <= told["steps"].as_u64().unwrap(), "{value}");
        assert!(number(value, 2) < number(value, 3) && number(value, 3) <= planned, "{value}");
    }
    // No two of them lie on one another, as the picture says.
    for (i, a) in values.iter().enumerate() {
        for b in &values[i + 1..] {
            let apart = |from: usize, to: usize| number(a, to) <= number(b, from) || number(b, to) <= number(a, from);
            assert!(apart(0, 1) || apart(2, 3), "{a} and {b}");
        }
    }
    // Each stands in the table, too, for those who see no picture; and there is one that needs no script.
    let names = told["names"].as_array().unwrap();
    assert_eq!(names.len(), values.len());
    assert_has(&page, &[&format!("{} values, the largest first", values.len()), "<noscript><svg "]);
    assert!(names.iter().any(|name| name.as_str().unwrap().starts_with("rnn: elman f32[5, 2, 8]")), "{names:?}");
}

#[test]
fn a_page_of_a_refused_plan_says_why_and_is_written_all_the_same() {
    let scratch = Scratch::with_run();
    scratch.run("plan run.toml --memory 20000 --html plan.html", 3);
    assert_has(
        &page(&scratch, "plan.html"),
        &["refused</span>", "Why it is refused", "the budget memory allows", "exceeded by"],
    );
    assert_has(&scratch.run("plan run.toml --html plan.txt", 2), &["plan.txt is no place for a page"]);
}

#[test]
fn no_name_becomes_markup() {
    let scratch = Scratch::with_run();
    let name = "<script>alert(1)<b>&.txt";
    scratch.write("run.toml", &RUN.replace("text.txt", name));
    scratch.write(name, &scratch.read("text.txt"));
    let mut device: Value = serde_json::from_str(include_str!("../../profiles/lavapipe.json")).unwrap();
    device["name"] = "</script><script>alert(2)".into();
    scratch.write("device.json", &device.to_string());
    scratch.run("plan run.toml --profile device.json --html plan.html", 0);
    let page = page(&scratch, "plan.html");
    assert!(!page.contains("<script>alert") && !page.contains("<b>&"), "a name is markup");
    assert_has(&page, &["&lt;script&gt;alert(1)&lt;b&gt;&amp;.txt", "&lt;/script&gt;&lt;script&gt;alert(2)"]);
}

#[test]
fn the_picture_has_the_lower_bound_and_the_load_line() {
    let scratch = Scratch::with_run();
    let svg = |args: &str, code| {
        scratch.run(&format!("plan run.toml --svg plan.svg {args}"), code);
        scratch.read("plan.svg")
    };
    let planned = plan(&scratch, "")["planned_bytes"].as_u64().unwrap();
    let (free, near) = (svg("", 0), svg(&format!("--memory {}", planned * 5 / 4), 0));
    assert_has(&free, &["lower bound", "<title>embedding.weight (parameters), ", "rnn: elman f32[5, 2, 8]"]);
    assert!(!free.contains("load line"), "no one limits the memory");
    assert!(near.contains(">load line ") && !near.contains("exceeds"), "{near}");
    assert_has(&svg("--memory 1GiB", 0), &["load line 1 GiB, ", "times as high"]);
    assert_has(&svg("--memory 20000", 3), &["which the plan exceeds"]);
    // A line each: the bound's, the load line's, the axis, and one where each program begins.
    let lines = |svg: &str| svg.matches("<line ").count();
    assert_eq!(lines(&near), lines(&free) + 1);
}

#[test]
fn a_plan_of_many_thousand_values_is_a_small_picture_that_says_what_is_drawn_together() {
    let scratch = Scratch::with_run();
    let layer = "[[layer]]\ntype = \"linear\"\nout_features = 8\n[[layer]]\ntype = \"gelu\"\n";
    let last = "[[layer]]\ntype = \"linear\"\n[train]";
    scratch.write("run.toml", &RUN.replace("[[layer]]\ntype = \"linear\"\n[train]", &(layer.repeat(700) + last)));
    scratch.run("plan run.toml --svg plan.svg --html plan.html", 0);
    let (svg, page) = (scratch.read("plan.svg"), page(&scratch, "plan.html"));
    let count = numbers(&page)["values"].as_array().unwrap().len();
    assert!(count > 8000, "{count} values");
    assert!(svg.len() < 600_000, "{} bytes", svg.len());
    let drawn = svg.matches("<rect ").count();
    assert!(drawn < 3100, "{drawn} rectangles");
    assert_has(&svg, &["values are too small to be told apart and are drawn together", "drawn together</title>"]);
    assert_has(&page, &["smaller ones are not listed", "... (1,403 layers)"]);
}
