package org.apache.beam.runners.jobsubmission;

import org.apache.beam.model.pipeline.v1.RunnerApi;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;

/** What Beam's Flink runner implements; its name and its one method are Beam's. */
public interface PortablePipelineRunner {
  PortablePipelineResult run(RunnerApi.Pipeline pipeline, JobInfo job) throws Exception;
}
