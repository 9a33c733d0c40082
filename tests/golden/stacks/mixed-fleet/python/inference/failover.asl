{
  "Comment": "Requests go to the backends that have healthy hosts, by the weights of the plan",
  "QueryLanguage": "JSONata",
  "StartAt": "LookAtBackends",
  "States": {
    "LookAtBackends": {
      "Type": "Map",
      "Items": ${targets},
      "ItemProcessor": {
        "ProcessorConfig": { "Mode": "INLINE" },
        "StartAt": "LookAtHosts",
        "States": {
          "LookAtHosts": {
            "Type": "Task",
            "Resource": "arn:${partition}:states:::aws-sdk:elasticloadbalancingv2:describeTargetHealth",
            "Arguments": { "TargetGroupArn": "{% $states.input.TargetGroupArn %}" },
            "Output": {
              "TargetGroupArn": "{% $states.input.TargetGroupArn %}",
              "Planned": "{% $states.input.Weight %}",
              "Answers": "{% $count($states.result.TargetHealthDescriptions[TargetHealth.State = 'healthy']) > 0 ? 1 : 0 %}"
            },
            "End": true
          }
        }
      },
      "Output": "{% ($planned := $sum($states.result.(Planned * Answers)); $answer := $sum($states.result.Answers); $states.result.{'TargetGroupArn': TargetGroupArn, 'Weight': $planned > 0 ? Planned * Answers : $answer > 0 ? Answers : Planned}) %}",
      "Next": "LookAtListener"
    },
    "LookAtListener": {
      "Type": "Task",
      "Resource": "arn:${partition}:states:::aws-sdk:elasticloadbalancingv2:describeListeners",
      "Arguments": { "ListenerArns": ["${listener_arn}"] },
      "Output": {
        "wanted": "{% ($planned := $states.input; [$states.result.Listeners[0].DefaultActions[0].ForwardConfig.TargetGroups.($present := $; $looked := $planned[TargetGroupArn = $present.TargetGroupArn]; {'TargetGroupArn': TargetGroupArn, 'Weight': $exists($looked) ? $looked.Weight : Weight})]) %}",
        "present": "{% $states.result.Listeners[0].DefaultActions[0].ForwardConfig.TargetGroups %}"
      },
      "Next": "Compare"
    },
    "Compare": {
      "Type": "Choice",
      "Choices": [
        {
          "Condition": "{% $sort($states.input.wanted.(TargetGroupArn & ' ' & $string(Weight))) = $sort($states.input.present.(TargetGroupArn & ' ' & $string(Weight))) %}",
          "Next": "Done"
        }
      ],
      "Default": "SetWeights"
    },
    "SetWeights": {
      "Type": "Task",
      "Resource": "arn:${partition}:states:::aws-sdk:elasticloadbalancingv2:modifyListener",
      "Arguments": {
        "ListenerArn": "${listener_arn}",
        "DefaultActions": [{ "Type": "forward", "ForwardConfig": { "TargetGroups": "{% $states.input.wanted %}" } }]
      },
      "End": true
    },
    "Done": { "Type": "Succeed" }
  }
}
