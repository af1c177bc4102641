//! The same stories on every wire to a model: the Responses API and Chat Completions, both against the fake model. A real
//! gateway that speaks Chat Completions plays those it can.

mod act;
mod gateway;
mod scenarios;

use act::Wire;
use gateway::Gateway;

/// One test for each story and wire: those that the gateway can play are played through it, too.
macro_rules! on_every_wire {
    (with_the_gateway: [$($story:ident,)*] without: [$($apart:ident,)*]) => {
        mod responses {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $story() {
                super::scenarios::$story(&super::Wire::Responses).await;
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $apart() {
                super::scenarios::$apart(&super::Wire::Responses).await;
            })*
        }
        mod chat {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $story() {
                super::scenarios::$story(&super::Wire::Chat).await;
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $apart() {
                super::scenarios::$apart(&super::Wire::Chat).await;
            })*
        }
        mod real_server_gateway {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $story() {
                match super::Gateway::find() {
                    Some(gateway) => super::scenarios::$story(&super::Wire::Gateway(&gateway)).await,
                    None => eprintln!("skipped: no gateway; run `cargo xtask test get-gateway gateway`"),
                }
            })*
        }
    };
}

on_every_wire! {
    with_the_gateway: [
        a_plain_answer,
        many_deltas,
        two_turns_of_one_conversation,
        a_thought_before_the_words,
        a_picture,
        an_answer_to_a_schema,
        what_it_cost,
        a_tool_call,
        two_tool_calls_at_once,
        a_thought_that_led_to_calls,
        arguments_in_pieces,
        arguments_that_are_no_json,
        a_tool_that_fails,
        a_tool_that_nobody_has,
        a_failure_that_passes,
        a_refusal_that_stays,
        a_budget_that_is_spent,
        a_model_that_is_not_there,
        a_provider_without_room,
        an_answer_that_is_cut,
        a_conversation_that_is_too_long,
        a_conversation_that_is_too_long_says_the_stream,
        a_provider_that_falls_silent,
        an_interrupt_in_the_middle_of_a_stream,
        a_key_that_others_can_read,
    ]
    without: [
        // It does not hand on what the model asks to wait.
        a_refusal_that_passes_after_a_wait,
        // It tells a stream that broke off behind it, and a page, as an answer that is whole.
        a_stream_that_breaks_before_its_first_word,
        a_stream_that_breaks_after_some_words,
        a_page_in_the_place_of_an_answer,
        // The key that the model sees is the gateway's own.
        a_key_from_a_file,
        a_key_that_is_wrong_is_told_nowhere,
    ]
}
