use super::{Axis, Chart, Line, Panel, Scale, number, round_step};

#[test]
fn steps_and_numbers_are_round() {
    assert_eq!([0.9, 1.3, 4.0, 7.0, 23.0].map(round_step), [1.0, 2.0, 5.0, 10.0, 50.0]);
    assert_eq!([0.0, 0.01, 2.5, 100.0].map(number), ["0", "0.01", "2.5", "100"]);
}

#[test]
fn an_axis_takes_in_all_values_and_puts_them_in_order() {
    let linear = Axis::over(Scale::Linear, [3.0, 9.5].into_iter(), 100.0, 0.0);
    assert_eq!((linear.place(0.0), linear.place(9.5)), (100.0, 0.0));
    assert_eq!(linear.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0]);
    let logarithmic = Axis::over(Scale::Logarithmic, [0.02, 0.0, 5.0].into_iter(), 0.0, 300.0);
    assert_eq!(logarithmic.ticks().len(), 4);
    assert!((logarithmic.place(0.1) - 100.0).abs() < 1e-6);
    assert!(logarithmic.place(0.0) >= 0.0, "what has no place stands at the edge");
}

#[test]
fn a_chart_has_its_labels_and_lines() {
    let line = Line { name: "a < b".into(), points: vec![(0.0, 1.0), (1.0, 2.0)], colour: 0, dashed: true };
    let panel = Panel { label: "Mbit/s".into(), scale: Scale::Linear, height: 100.0, lines: vec![line] };
    let chart = Chart { title: "T".into(), x_label: "time in s".into(), x_scale: Scale::Linear, panels: vec![panel] };
    let svg = chart.svg();
    for part in ["a &lt; b", "Mbit/s", "time in s", "stroke-dasharray", "</svg>"] {
        assert!(svg.contains(part), "{part} in {svg}");
    }
}
