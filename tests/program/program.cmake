# The command line program against its contract; run where it was built.
if(TARGET kinema)
  add_test(NAME program COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/program/program_test.sh $<TARGET_FILE:kinema> ${CMAKE_CURRENT_SOURCE_DIR}/..)
  set_tests_properties(program PROPERTIES LABELS program TIMEOUT 900)
endif()
