package org.apache.beam.runners.jobsubmission;

import org.apache.beam.model.jobmanagement.v1.JobApi;
import org.apache.beam.sdk.PipelineResult;

/** Result of a run by Beam's Flink runner, which determines its name and its only method. */
public interface PortablePipelineResult extends PipelineResult {
  JobApi.MetricResults portableMetrics();
}
